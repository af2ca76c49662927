"""ROC and precision-recall curves on an even grid, under many sets of weights at once, for figures with bands."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.metrics.cases import Cases
from secondread.metrics.tally import ratio

Kind = Literal["roc", "pr"]
GRID = np.linspace(0, 1, 101)


def mean_trade_off(cases: Cases, k: int, weights_NB: NDArray[np.floating], kind: Kind) -> NDArray[np.float64]:
    """[101, B]: `trade_off` of each training that has both sides, averaged by its positives."""
    parts = [(cases.take(own), weights_NB[own]) for own in with_both_sides(cases, k)]
    made = np.stack([trade_off(part, k, weights, kind) for part, weights in parts])
    positives_FB = np.stack([part.truth[:, k] @ weights for part, weights in parts])
    masses = np.where(np.isnan(made), 0.0, positives_FB[:, None, :])
    return np.asarray(ratio((np.nan_to_num(made) * masses).sum(axis=0), masses.sum(axis=0)), np.float64)


def with_both_sides(cases: Cases, k: int) -> list[NDArray[np.intp]]:
    """Rows of each training that read cases with the class and cases without."""
    return [own for own in cases.by_training if 0 < cases.truth[own, k].sum() < cases.read[own, k].sum()]


def trade_off(cases: Cases, k: int, weights_NB: NDArray[np.floating], kind: Kind) -> NDArray[np.float64]:
    """[101, B]: sensitivity over 1 − specificity, or precision over recall, of one class under each set of weights."""
    read = cases.read[:, k]
    score, truth = cases.probabilities[read, k], cases.truth[read, k] == 1
    order = np.argsort(-score, kind="stable")
    last = np.append(np.diff(score[order]) != 0, True)  # equal scores are decided together
    found = np.cumsum((weights_NB[read] * truth[:, None])[order], axis=0)[last]
    alarms = np.cumsum((weights_NB[read] * ~truth[:, None])[order], axis=0)[last]
    made = np.full((len(GRID), weights_NB.shape[1]), np.nan)
    for b in range(weights_NB.shape[1]):
        if found[-1, b] == 0 or alarms[-1, b] == 0:
            continue
        recall = found[:, b] / found[-1, b]
        if kind == "roc":
            x = np.concatenate([[0.0], alarms[:, b] / alarms[-1, b]])
            made[:, b] = np.interp(GRID, x, np.concatenate([[0.0], recall]))
        else:
            at = np.searchsorted(recall, np.maximum(GRID - 1e-12, 1e-12))  # the first threshold that finds as much
            total = found[at, b] + alarms[at, b]
            made[:, b] = np.where(total > 0, found[at, b] / np.where(total > 0, total, 1), np.nan)
    return made
