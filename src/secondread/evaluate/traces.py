"""ROC, precision-recall, decision and reliability curves of arms and models, as tables that `pages` draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.evaluate.draws import Draws
from secondread.evaluate.operating import read_plainly
from secondread.evaluate.pooling import Member, members_of
from secondread.evaluate.record import Record
from secondread.metrics.cases import Cases
from secondread.metrics.curves import GRID, Kind, mean_trade_off, with_both_sides
from secondread.metrics.reliability import (
    BrierParts,
    CalibrationLine,
    brier_parts,
    calibration_line,
    reliability_curve,
)
from secondread.metrics.resampling import Resampling
from secondread.metrics.usefulness import decision_curve

Vector = NDArray[np.float64]
BAND_DRAWS = 200
MACRO = "macro average"


class Traces:
    """Curves on the test rows, each pool's members and draws made once."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.draws = Draws(min(BAND_DRAWS, record.study.evaluate.bootstrap), record.study.evaluate.seed, ())
        self._members: dict[tuple[str, str], tuple[list[Member], list[Resampling]]] = {}

    def members(self, arm: str, model: str) -> tuple[list[Member], list[Resampling]]:
        if (arm, model) not in self._members:
            own = [one for one in self.record.judged if one.pair == (arm, model)]
            members = [member for member in members_of(own, "test") if member.rows.n]
            drawn = self.draws.across([member.rows for member in members]) if members else []
            self._members[arm, model] = (members, drawn)
        return self._members[arm, model]

    def by_model(self, kind: Kind) -> pd.DataFrame:
        """One panel per model, one line per arm: the positive class, or the macro mean over the classes."""
        columns = self.shown_classes()
        found = [
            table.assign(panel=model, line=arm)
            for arm, model in self.record.evidence.pairs
            if not (table := self._mean_curve(arm, model, columns, kind)).empty
        ]
        return _together(found)

    def by_class(self, kind: Kind) -> pd.DataFrame:
        """One panel per class, one line per arm, for the picked model."""
        model = self.record.picked["model"]
        found = []
        for k, name in enumerate(self.record.classes):
            for arm in self.record.evidence.arms:
                table = self._mean_curve(arm, model, [k], kind) if (arm, model) in self.record.evidence.pairs else None
                if table is not None and not table.empty:
                    found.append(table.assign(panel=name, line=arm))
        return _together(found)

    def shown_classes(self) -> list[int]:
        """Columns behind the headline curve: of two classes the positive one."""
        return [1] if self.record.task == "binary" else list(range(len(self.record.classes)))

    def _mean_curve(self, arm: str, model: str, columns: Sequence[int], kind: Kind) -> pd.DataFrame:
        members, drawn = self.members(arm, model)
        curves, moved, floors = [], [], []
        for member, draws in zip(members, drawn, strict=True):
            for k in columns:
                cases = member.cases
                enough = cases.eligible[k] or len(columns) == 1
                if enough and with_both_sides(cases, k) and not cases.unread[k]:
                    curves.append(mean_trade_off(cases, k, np.ones((cases.n, 1)), kind)[:, 0])
                    weights = draws.drawn[draws.patient_of_row].astype(np.float64)
                    moved.append(mean_trade_off(cases, k, weights, kind))
                    floors.append(cases.positives[k] / (cases.positives[k] + cases.negatives[k]))
        if not curves:
            return pd.DataFrame()
        low, high = band_of(np.mean(moved, axis=0), self.record.study.evaluate.confidence)
        y, floor = np.mean(curves, axis=0), float(np.mean(floors))
        return pd.DataFrame({"x": GRID, "y": y, "low": low, "high": high, "prevalence": floor})

    def decisions(self) -> pd.DataFrame:
        """Net benefit for the headline class, by model (of many labels: of the picked model, by label)."""
        found = []
        for arm, model in self.record.evidence.pairs:
            for k, panel in self._decision_panels(model):
                members, _ = self.members(arm, model)
                made = [decision_curve(given_of(m.cases, k), truth_of(m.cases, k), CUTS) for m in members]
                if made:
                    mean = np.mean([one.model for one in made], axis=0)
                    found.append(pd.DataFrame({"panel": panel, "line": arm, "x": CUTS, "y": mean}))
                    treat = np.mean([one.treat_all for one in made], axis=0)
                    found.append(pd.DataFrame({"panel": panel, "line": "treat all", "x": CUTS, "y": treat}))
                    found.append(pd.DataFrame({"panel": panel, "line": "treat none", "x": CUTS, "y": 0.0}))
        return _together(found).drop_duplicates(["panel", "line", "x"]) if found else pd.DataFrame(columns=["panel"])

    def _decision_panels(self, model: str) -> list[tuple[int, str]]:
        if self.record.task == "binary":
            return [(1, model)]
        if model != self.record.picked["model"]:
            return []
        return list(enumerate(self.record.classes))

    def reliability(self) -> pd.DataFrame:
        """The picked trial on test rows before and after calibration, per class (of two, the positive one)."""
        found = []
        for line, cases, k, drawn in self._both_readings():
            curve = reliability_curve(
                given_of(cases, k), truth_of(cases, k), drawn=drawn, bins=bins_for(cases),
                confidence=self.record.study.evaluate.confidence,
            )  # fmt: skip
            found.append(
                pd.DataFrame({
                    "panel": self.record.classes[k], "line": line, "predicted": curve.predicted,
                    "observed": curve.observed, "low": curve.low, "high": curve.high, "n": curve.cases,
                })
            )  # fmt: skip
        return _together(found)

    def calibration(self) -> list[tuple[str, str, CalibrationLine, BrierParts]]:
        """(class, before or after, line, parts of the Brier score) of the picked trial on test rows."""
        confidence, found = self.record.study.evaluate.confidence, []
        for line, cases, k, drawn in self._both_readings():
            given, truth = given_of(cases, k), truth_of(cases, k)
            fitted = calibration_line(given, truth, drawn=drawn, confidence=confidence)
            found.append((self.record.classes[k], line, fitted, brier_parts(given, truth, bins=bins_for(cases))))
        return sorted(found, key=lambda one: self.record.classes.index(one[0]))

    def _both_readings(self) -> Iterator[tuple[str, Cases, int, Resampling]]:
        """The picked trial's test rows before and after calibration, with each class that has both sides."""
        one = self.record.picked_trial
        rows = one.predicted.test
        if rows.n == 0:
            return
        drawn = self.draws.of(rows)
        for line, cases in (("before", read_plainly(rows, one.test)), ("after", one.test)):
            for k in self.shown_classes():
                if cases.positives[k] and cases.negatives[k] and not cases.unread[k]:
                    yield line, cases, k, drawn


CUTS = np.linspace(0.01, 0.8, 80)


def band_of(curves_GB: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """[2, G]: the middle share of the draws in which every class was there; NaN when there is none."""
    whole = curves_GB[:, np.isfinite(curves_GB).all(axis=0)]
    if whole.shape[1] == 0:
        return np.full((2, len(curves_GB)), np.nan)
    tail = 50 * (1 - confidence)
    return np.asarray(np.percentile(whole, [tail, 100 - tail], axis=1))


def truth_of(cases: Cases, k: int) -> Vector:
    return np.where(cases.read[:, k], cases.truth[:, k], np.nan).astype(np.float64)


def given_of(cases: Cases, k: int) -> Vector:
    return cases.probabilities[:, k].astype(np.float64)


def bins_for(cases: Cases) -> int:
    """Bins of about thirty cases, at most ten."""
    return int(np.clip(cases.n // 30, 3, 10))


def _together(found: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=["panel", "line"])
