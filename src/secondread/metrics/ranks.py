"""Area under the ROC curve and average precision under many sets of weights at once.

The order of the scores does not change between bootstrap replicates, only the weights do: sort once, then every
replicate is a running sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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


@dataclass(frozen=True, eq=False)
class WeightedRanking:
    """One ranking under the weights [N, B] of many replicates; each value is worked out when it is asked for."""

    ranked: Ranking
    weights_NB: NDArray[np.floating]

    @cached_property
    def _weights_PB(self) -> NDArray[np.floating]:
        return self.weights_NB[self.ranked.positives]

    @cached_property
    def _negatives_MB(self) -> NDArray[np.floating]:
        return running_sums(self.weights_NB[self.ranked.negatives])

    @cached_property
    def _at_level_PB(self) -> NDArray[np.floating]:
        return self._negatives_MB[self.ranked.level]

    def present(self) -> NDArray[np.floating]:
        """[B]: weight of the positives."""
        return np.asarray(self._weights_PB.sum(axis=0))

    def pairs(self) -> NDArray[np.floating]:
        """[B]: weight of the pairs of a positive and a negative."""
        return np.asarray(self.present() * self._negatives_MB[-1])

    def auroc(self) -> NDArray[np.floating]:
        """[B]: ties count half; NaN where the weights leave no positive or no negative."""
        passed = self._at_level_PB
        if not np.array_equal(self.ranked.above, self.ranked.level):
            passed = (passed + self._negatives_MB[self.ranked.above]) / 2
        pairs = self.pairs()
        lost = np.einsum("pb,pb->b", self._weights_PB, passed)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(pairs == 0, np.nan, 1 - lost / pairs)

    def average_precision(self) -> NDArray[np.floating]:
        """[B]: step-wise, as scikit-learn; NaN where the weights leave no positive."""
        reached = running_sums(self._weights_PB)[self.ranked.reached]
        decided = self._at_level_PB + reached
        np.divide(reached, decided, out=reached, where=decided > 0)
        gained, total = np.einsum("pb,pb->b", self._weights_PB, reached), self.present()
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(total == 0, np.nan, gained / total)


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
