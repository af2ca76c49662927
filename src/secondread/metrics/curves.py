"""ROC and precision-recall curves of one class, with bands from the shared patient bootstrap, for figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.metrics.resampling import Resampling

Array = NDArray[np.float64]
CUTS = 400
GRID = 101


@dataclass(frozen=True, eq=False)
class Curve:
    """Points of a curve [T] and, on an even grid of x [G], the band of y (NaN without a resampling).

    ROC: x false-positive rate, y sensitivity. Precision-recall: x recall, y precision.
    """

    x: Array
    y: Array
    grid: Array
    low: Array
    high: Array


def roc_curve(scores_N: Array, truth_N: Array, *, drawn: Resampling | None = None, confidence: float = 0.95) -> Curve:
    """scores, truth [N] of one class (rows with NaN left out); empty where a side is missing. Band: pointwise, of the
    sensitivity at each false-positive rate."""
    tp, fp, positives, negatives = _counts(scores_N, truth_N)
    if positives == 0 or negatives == 0:
        return _nothing()
    grid = np.linspace(0, 1, GRID)
    low, high = np.full((2, GRID), np.nan)
    if drawn is not None:
        found_tp, found_fp = _resampled(scores_N, truth_N, drawn)
        rates = [np.interp(grid, f / max(f[-1], 1), t / max(t[-1], 1)) for t, f in zip(found_tp, found_fp, strict=True)]
        low, high = _middle(np.array(rates), confidence)
    return Curve(fp / negatives, tp / positives, grid, low, high)


def precision_recall_curve(
    scores_N: Array, truth_N: Array, *, drawn: Resampling | None = None, confidence: float = 0.95
) -> Curve:
    """scores, truth [N] of one class (rows with NaN left out); empty where a side is missing. Band: pointwise, of the
    precision at the first threshold that reaches each recall."""
    tp, fp, positives, negatives = _counts(scores_N, truth_N)
    if positives == 0 or negatives == 0:
        return _nothing()
    grid = np.linspace(0, 1, GRID)
    low, high = np.full((2, GRID), np.nan)
    if drawn is not None:
        found_tp, found_fp = _resampled(scores_N, truth_N, drawn)
        held = []
        for t, f in zip(found_tp, found_fp, strict=True):
            precision = t[1:] / np.maximum(t[1:] + f[1:], 1)
            at = np.searchsorted(t[1:] / max(t[-1], 1), grid - 1e-9)
            held.append(precision[np.minimum(at, len(precision) - 1)])
        low, high = _middle(np.array(held), confidence)
    return Curve(tp[1:] / positives, tp[1:] / (tp[1:] + fp[1:]), grid, low, high)


def _read(scores_N: Array, truth_N: Array) -> NDArray[np.bool_]:
    return np.isfinite(scores_N) & np.isfinite(truth_N)


def _counts(scores_N: Array, truth_N: Array) -> tuple[Array, Array, int, int]:
    """True and false positives at each distinct score in falling order, from (0, 0) on."""
    read = _read(scores_N, truth_N)
    scores, truth = scores_N[read], truth_N[read]
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True) if len(scores) else np.zeros(0, dtype=bool)
    tp = np.concatenate([[0.0], np.cumsum(truth[order])[last]])
    fp = np.concatenate([[0.0], np.cumsum(1 - truth[order])[last]])
    return tp, fp, int(truth.sum()), int((1 - truth).sum())


def _resampled(scores_N: Array, truth_N: Array, drawn: Resampling) -> tuple[Array, Array]:
    """[B, T + 1] each: true and false positives of every replicate at up to `CUTS` thresholds, from 0 on."""
    if drawn.n != len(scores_N):
        raise BadData(f"{len(scores_N)} cases for a resampling of {drawn.n} rows")
    read = _read(scores_N, truth_N)
    levels = np.unique(scores_N[read])
    if len(levels) > CUTS:
        levels = np.quantile(levels, np.linspace(0, 1, CUTS), method="nearest")
    above = (scores_N[:, None] >= levels[::-1]) & read[:, None]
    present = above * np.where(read, truth_N, 0.0)[:, None]
    sides = present.astype(np.float32), (above - present).astype(np.float32)
    parts = [[side.T @ weights for side in sides] for _, weights in drawn.blocks()]
    tp, fp = (np.concatenate([part[s] for part in parts], axis=1).T for s in (0, 1))
    start = np.zeros((len(tp), 1))
    return np.concatenate([start, tp], axis=1), np.concatenate([start, fp], axis=1)


def _middle(values_BG: Array, confidence: float) -> Array:
    tail = 100 * (1 - confidence) / 2
    return np.asarray(np.percentile(values_BG, [tail, 100 - tail], axis=0))


def _nothing() -> Curve:
    empty = np.zeros(0)
    return Curve(empty, empty, empty, empty, empty)
