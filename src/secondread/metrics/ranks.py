"""Area under the ROC curve and average precision under many sets of weights at once.

The order of the scores does not change between bootstrap replicates, only the weights do: sort once, then every
replicate is a running sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CHUNK = 64


@dataclass(frozen=True, eq=False)
class Ranking:
    """Positives and negatives of one class in falling order of score.

    positives [P], negatives [M]: rows of the weights. above [P]: negatives scored higher than this positive;
    level [P]: negatives scored at least as high; reached [P]: positives scored at least as high.
    """

    positives: NDArray[np.intp]
    negatives: NDArray[np.intp]
    above: NDArray[np.intp]
    level: NDArray[np.intp]
    reached: NDArray[np.intp]


def ranking(scores: NDArray[np.float64], present: NDArray[np.bool_], rows: NDArray[np.intp]) -> Ranking:
    """Sort once. scores, present [n]: of the entries that take part; rows [n]: which row of the weights each uses."""
    order = np.argsort(-scores, kind="stable")
    scores, present, rows = scores[order], present[order], rows[order]
    falling_positives, falling_negatives = -scores[present], -scores[~present]
    return Ranking(
        rows[present],
        rows[~present],
        np.searchsorted(falling_negatives, falling_positives, side="left"),
        np.searchsorted(falling_negatives, falling_positives, side="right"),
        np.searchsorted(falling_positives, falling_positives, side="right"),
    )


def auroc_and_average_precision(ranked: Ranking, weights_NB: NDArray[np.floating]) -> NDArray[np.floating]:
    """[2, B]: AUROC (ties count half) and average precision (step-wise, as scikit-learn) per column of weights.

    NaN where the weights leave no positive (both) or no negative (AUROC).
    """
    weights_PB = weights_NB[ranked.positives]
    negatives_MB = running_sums(weights_NB[ranked.negatives])
    at_level = negatives_MB[ranked.level]
    tied = not np.array_equal(ranked.above, ranked.level)
    passed = (at_level + negatives_MB[ranked.above]) / 2 if tied else at_level
    reached = running_sums(weights_PB)[ranked.reached]
    total_positive, total_negative = weights_PB.sum(axis=0), negatives_MB[-1]
    lost = np.einsum("pb,pb->b", weights_PB, passed)
    at_level += reached
    np.divide(reached, at_level, out=reached, where=at_level > 0)
    gained = np.einsum("pb,pb->b", weights_PB, reached)
    with np.errstate(divide="ignore", invalid="ignore"):
        auroc = 1 - lost / (total_positive * total_negative)
        precision = gained / total_positive
    auroc[(total_positive == 0) | (total_negative == 0)] = np.nan
    precision[total_positive == 0] = np.nan
    return np.stack([auroc, precision])


def running_sums(weights_NB: NDArray[np.floating]) -> NDArray[np.floating]:
    """[N + 1, B]: row i is the sum of the first i rows.

    A product with a triangle of ones within chunks of rows, then the totals of the chunks: three times as fast as
    `cumsum` down the rows, which waits for every addition.
    """
    n, b = weights_NB.shape
    sums = np.zeros((n + 1, b), dtype=weights_NB.dtype)
    whole = n // CHUNK * CHUNK
    triangle = np.tri(CHUNK, dtype=weights_NB.dtype)
    if whole:
        chunks = sums[1 : whole + 1].reshape(-1, CHUNK, b)
        np.matmul(triangle, weights_NB[:whole].reshape(-1, CHUNK, b), out=chunks)
        chunks[1:] += np.cumsum(chunks[:-1, -1], axis=0)[:, None]
    if whole < n:
        np.cumsum(weights_NB[whole:], axis=0, out=sums[whole + 1 :])
        sums[whole + 1 :] += sums[whole]
    return sums
