"""Where to cut: thresholds chosen on validation by Youden's J, a target sensitivity or the cost of errors.

A decision is the class with the largest p / threshold: for one label or two exclusive classes that is p ≥ threshold,
for more it moves the borders between classes, and equal thresholds are the plain arg-max.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.core.errors import WrongRequest

Array = NDArray[np.float64]
SMALLEST = 1e-6
SWEEPS = 5


def youden(probabilities_NK: Array, truth_NK: Array) -> Array:
    """[K], summing to 1: thresholds that maximise the sum of the classes' recalls (Youden's J for two classes)."""
    support = truth_NK.sum(axis=0)
    worth = truth_NK / np.where(support > 0, support, 1)
    return best_thresholds(probabilities_NK, worth, start=support / max(1.0, support.sum()))


def cheapest(probabilities_NK: Array, truth_NK: Array, costs: ArrayLike) -> Array:
    """[K], summing to 1: thresholds with the smallest mean cost; costs [K, K]: true class × decided class."""
    matrix = np.asarray(costs, dtype=np.float64)
    k = truth_NK.shape[1]
    if matrix.shape != (k, k):
        raise WrongRequest(f"the cost matrix must be {k} × {k} (truth × decision), not {matrix.shape}")
    wrong = matrix - np.diag(matrix)[:, None]
    return best_thresholds(probabilities_NK, -(truth_NK @ matrix), start=1 / np.maximum(wrong.sum(axis=1), SMALLEST))


def for_sensitivity(probabilities_N: Array, truth_N: Array, target: float) -> float:
    """The highest threshold at which the share of found positives (p ≥ threshold) reaches the target."""
    found = np.sort(probabilities_N[truth_N == 1])[::-1]
    if len(found) == 0:
        return 0.5
    needed = int(np.ceil(round(target * len(found), 9)))
    lowest = found[max(needed, 1) - 1]
    below = probabilities_N[probabilities_N < lowest]
    return float((lowest + below.max()) / 2) if len(below) else float(lowest)


def two_sided(probabilities_N: Array) -> Array:
    """[N, 2]: one label as two exclusive classes (absent, present)."""
    return np.stack([1 - probabilities_N, probabilities_N], axis=1)


def best_thresholds(probabilities_NK: Array, worth_NK: Array, start: Array) -> Array:
    """[K], summing to 1: thresholds that maximise the summed worth of the decisions.

    worth [N, K]: what it is worth to decide case i for class k. One class at a time, exactly: as its threshold falls,
    cases come over to it in the order of how nearly they are its own already. Two classes need one such pass; more
    need a few, and end where no single threshold can be bettered. Among equally good cuts the widest gap wins.
    """
    logs = np.log(np.maximum(probabilities_NK, 1e-300))
    cuts = np.log(np.maximum(start, SMALLEST) / np.maximum(start, SMALLEST).sum())
    if len(logs) == 0:
        return _normalised(np.zeros(len(cuts)))
    for _ in range(1 if len(cuts) == 2 else SWEEPS):
        before = cuts.copy()
        for k in range(len(cuts) - 1, 0, -1) if len(cuts) == 2 else range(len(cuts)):
            cuts[k] = _best_cut(logs, worth_NK, cuts, k)
        if np.array_equal(cuts, before):
            break
    return _normalised(cuts)


def _normalised(cuts: Array) -> Array:
    thresholds = np.exp(cuts - cuts.max())
    return np.asarray(thresholds / thresholds.sum())


def _best_cut(logs_NK: Array, worth_NK: Array, cuts_K: Array, k: int) -> float:
    """The best log threshold of class k while the others stay."""
    rows = np.arange(len(logs_NK))
    rivals = logs_NK - cuts_K
    rivals[:, k] = -np.inf
    rival = rivals.argmax(axis=1)
    lead = logs_NK[:, k] - rivals[rows, rival]  # case i comes over when the cut falls to lead_i
    order = np.argsort(-lead, kind="stable")
    gain = np.concatenate([[0.0], np.cumsum((worth_NK[:, k] - worth_NK[rows, rival])[order])])
    falling = lead[order]
    reach = np.concatenate([[falling[0] + 2], falling, [falling[-1] - 2]])  # one nat of room beyond the outermost
    upper, lower = reach[:-1], reach[1:]
    possible = upper > lower  # cases with equal lead come over together
    best = np.where(possible, gain, -np.inf).max()
    best_cuts = np.flatnonzero(possible & (gain >= best - 1e-12 * max(1.0, abs(best))))
    current = cuts_K[k]
    stays = best_cuts[(upper[best_cuts] > current) & (lower[best_cuts] < current)]
    if len(stays) and len(cuts_K) > 2:
        return float(current)
    widest = best_cuts[np.argmax((upper - lower)[best_cuts])]
    return float((upper[widest] + lower[widest]) / 2)
