"""Curves of one bundle on the images it is proven by, as tables that `pages` draws."""

from __future__ import annotations

import numpy as np
import pandas as pd

from secondread.evaluate.part_results import decided
from secondread.evaluate.traces import BAND_DRAWS, Vector, band_of, bins_for, given_of, truth_of
from secondread.metrics.curves import GRID, Kind, mean_trade_off, with_both_sides
from secondread.metrics.reliability import BrierParts, CalibrationLine, brier_parts, calibration_line, reliability_curve
from secondread.proving.judged import CONFIDENCE, Judged

LINE = "this bundle"


def shown_classes(judged: Judged) -> list[int]:
    """Columns that curves are drawn for: of two classes the positive one; those with cases on both sides."""
    found = [1] if judged.card.task == "binary" else list(range(len(judged.card.classes)))
    return [k for k in found if with_both_sides(judged.cases, k) and not judged.cases.unread[k]]


def trade_offs(judged: Judged, kind: Kind) -> pd.DataFrame:
    """One panel per class with the band of `BAND_DRAWS` bootstrap curves."""
    found = []
    for k in shown_classes(judged):
        drawn, cases = judged.drawn, judged.cases
        weights = drawn.drawn[:, :BAND_DRAWS][drawn.patient_of_row].astype(np.float64)
        curve = mean_trade_off(cases, k, np.ones((cases.n, 1)), kind)[:, 0]
        moved = mean_trade_off(cases, k, weights, kind)
        low, high = band_of(moved, CONFIDENCE)
        share = cases.positives[k] / (cases.positives[k] + cases.negatives[k])
        found.append(pd.DataFrame({"panel": judged.card.classes[k], "line": LINE, "x": GRID, "y": curve, "low": low,
                                   "high": high, "prevalence": share}))  # fmt: skip
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["panel", "line"])


def reliability(judged: Judged) -> pd.DataFrame:
    found = []
    for k in shown_classes(judged):
        curve = reliability_curve(*_given_and_true(judged, k), drawn=judged.drawn, bins=bins_for(judged.cases))
        found.append(pd.DataFrame({
            "panel": judged.card.classes[k], "line": "after", "predicted": curve.predicted, "observed": curve.observed,
            "low": curve.low, "high": curve.high, "n": curve.cases,
        }))  # fmt: skip
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["panel", "line"])


def calibration(judged: Judged) -> list[tuple[str, CalibrationLine, BrierParts]]:
    return [
        (
            judged.card.classes[k],
            calibration_line(*_given_and_true(judged, k), drawn=judged.drawn),
            brier_parts(*_given_and_true(judged, k), bins=bins_for(judged.cases)),
        )
        for k in shown_classes(judged)
    ]


def decisions(judged: Judged) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Truth × decision of exclusive classes; TP, FP, FN and TN of each class."""
    pairs, rates = decided(judged.cases, {"arm": judged.card.arm, "model": judged.card.model})
    return pd.DataFrame(pairs), pd.DataFrame(rates)


def _given_and_true(judged: Judged, k: int) -> tuple[Vector, Vector]:
    return given_of(judged.cases, k), truth_of(judged.cases, k)
