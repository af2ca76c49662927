"""What a weighted pass over the cases counts: one column per set of weights.

A score is computed for all bootstrap replicates at once from these sums; the score of the sample itself is the
column whose weights are all 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from secondread.metrics.cases import Cases
from secondread.metrics.ranks import Ranking, WeightedRanking, ranking

Sums = NDArray[np.floating]
SMALLEST = float(np.finfo(np.float64).eps)
"""Probabilities are kept this far from 0 and 1 before a logarithm, as scikit-learn does."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """Everything about the cases that does not depend on the weights; made once, used by every block."""

    cases: Cases

    @cached_property
    def features(self) -> dict[str, NDArray[np.float64]]:
        """Name → [N, ·]: columns whose weighted sums make up every score that is not about ranks."""
        truth, decided, read = self.cases.truth, self.cases.decided, self.cases.read.astype(np.float64)
        made = {"tp": truth * decided, "positive": truth, "decided": decided, "read": read}
        wrong = (truth != decided) & self.cases.read
        made["exact"] = np.stack([~wrong.any(axis=1) & (read.sum(axis=1) > 0), read.any(axis=1)], axis=1).astype(float)
        if self.cases.exclusive:
            n, k = truth.shape
            made["confusion"] = (truth[:, :, None] * decided[:, None, :]).reshape(n, k * k)
        return made | self._losses(truth, read)

    def _losses(self, truth: NDArray[np.float64], read: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        given = np.where(self.cases.read, self.cases.probabilities, 0.5)
        safe = np.clip(given, SMALLEST, 1 - SMALLEST)
        made = {"squared": read * (given - truth) ** 2}
        made["log_loss"] = -read * (truth * np.log(safe) + (1 - truth) * np.log1p(-safe))
        made["log_loss_of_truth"] = -(truth * np.log(safe)).sum(axis=1, keepdims=True)
        return made

    @cached_property
    def _rankings(self) -> dict[int, list[Ranking]]:
        return {}

    def rankings(self, k: int) -> list[Ranking]:
        """Of class k (of all entries together where k is the number of classes), one for each training."""
        if k not in self._rankings:
            number = len(self.cases.classes)
            columns = np.arange(number) if k == number else np.array([k])
            self._rankings[k] = [self._ranking(own, columns) for own in self.cases.by_training]
        return self._rankings[k]

    def _ranking(self, own: NDArray[np.intp], columns: NDArray[np.intp]) -> Ranking:
        rows, at = np.nonzero(self.cases.read[np.ix_(own, columns)])
        entries = (own[rows], columns[at])
        scores, present = self.cases.probabilities[entries].astype(np.float64), self.cases.truth[entries] == 1
        return ranking(scores, present, own[rows])

    @cached_property
    def _gaps_by_bins(self) -> dict[int, dict[str, NDArray[np.float64]]]:
        return {}

    def gaps(self, bins: int) -> dict[str, NDArray[np.float64]]:
        """Name → [N, ·]: observed minus predicted, in equal-mass bins of each class and of the top class."""
        kept = self._gaps_by_bins
        if bins not in kept:
            given = np.where(self.cases.read, self.cases.probabilities, 0.0)
            columns = [
                gap_columns(given[:, k], self.cases.truth[:, k], self.cases.read[:, k], bins)
                for k in range(len(self.cases.classes))
            ]
            right = (self.cases.truth * self.cases.decided).sum(axis=1)
            top = (given * self.cases.decided).sum(axis=1)
            kept[bins] = {
                "gaps": np.concatenate(columns, axis=1),
                "top_gaps": gap_columns(top, right, np.asarray(self.cases.read.any(axis=1)), bins),
            }
        return kept[bins]


@dataclass(frozen=True, eq=False)
class Tally:
    """Weighted sums over the cases, [K, B] unless said otherwise. weights_NB [N, B].

    `only`: the one class that is asked for; what ranks say of the others is not worked out (NaN).
    """

    prepared: Prepared
    weights_NB: Sums
    only: int | None = None

    @property
    def cases(self) -> Cases:
        return self.prepared.cases

    def total(self, features: NDArray[np.float64]) -> Sums:
        """[M, B]: the weighted sums of features [N, M]."""
        summed: Sums = features.astype(self.weights_NB.dtype, copy=False).T @ self.weights_NB
        return summed

    def _sum(self, name: str) -> Sums:
        return self.total(self.prepared.features[name])

    @cached_property
    def tp(self) -> Sums:
        return self._sum("tp")

    @cached_property
    def positive(self) -> Sums:
        return self._sum("positive")

    @cached_property
    def decided(self) -> Sums:
        return self._sum("decided")

    @cached_property
    def read(self) -> Sums:
        """Entries that count."""
        return self._sum("read")

    @property
    def fp(self) -> Sums:
        return self.decided - self.tp

    @property
    def fn(self) -> Sums:
        return self.positive - self.tp

    @property
    def tn(self) -> Sums:
        return self.read - self.positive - self.decided + self.tp

    @cached_property
    def confusion(self) -> Sums:
        """[K, K, B]: truth × decision, of exclusive classes."""
        k = len(self.cases.classes)
        return self._sum("confusion").reshape(k, k, -1)

    @cached_property
    def exact(self) -> Sums:
        """[B]: rows with every known label right, over rows with any known label."""
        right, all_ = self._sum("exact")
        return ratio(right, all_)

    @cached_property
    def squared(self) -> Sums:
        return self._sum("squared")

    @cached_property
    def log_loss(self) -> Sums:
        return self._sum("log_loss")

    @cached_property
    def log_loss_of_truth(self) -> Sums:
        """[B]: sum of −log of the probability given to the true class."""
        return np.asarray(self._sum("log_loss_of_truth")[0])

    @cached_property
    def _ranked(self) -> dict[int, list[WeightedRanking]]:
        asked = range(len(self.cases.classes) + 1) if self.only is None else [self.only]
        return {k: [WeightedRanking(one, self.weights_NB) for one in self.prepared.rankings(k)] for k in asked}

    def _by_class(self, values: Callable[[WeightedRanking], Sums], mass: Callable[[WeightedRanking], Sums]) -> Sums:
        """[K + 1, B]: a value of each training's ranking, averaged over trainings by `mass`."""
        made = np.full((len(self.cases.classes) + 1, self.weights_NB.shape[1]), np.nan, self.weights_NB.dtype)
        for k, ranked in self._ranked.items():
            if len(ranked) == 1:
                made[k] = values(ranked[0])
                continue
            masses_TB = np.stack([mass(one) for one in ranked])
            # a training without a positive or a negative has no value and no mass
            weighed_TB = np.where(masses_TB > 0, masses_TB * np.stack([values(one) for one in ranked]), 0)
            made[k] = ratio(weighed_TB.sum(axis=0), masses_TB.sum(axis=0))
        return made

    @cached_property
    def auroc(self) -> Sums:
        """[K + 1, B]: per class, then all entries together (micro)."""
        return self._by_class(WeightedRanking.auroc, WeightedRanking.pairs)

    @cached_property
    def average_precision(self) -> Sums:
        """[K + 1, B]: per class, then all entries together (micro)."""
        return self._by_class(WeightedRanking.average_precision, WeightedRanking.present)

    def calibration_gap(self, bins: int) -> tuple[Sums, Sums]:
        """Sums of |observed − predicted| over bins: per class [K, B], and of the decided class [B]."""
        gaps = self.prepared.gaps(bins)
        per_class = np.abs(self.total(gaps["gaps"])).reshape(len(self.cases.classes), bins, -1).sum(axis=1)
        return per_class, np.abs(self.total(gaps["top_gaps"])).sum(axis=0)


def tally(cases: Cases, only: int | None = None) -> Tally:
    """The tally of the sample itself: one column of ones."""
    return Tally(Prepared(cases), np.ones((cases.n, 1)), only)


def ratio(above: Sums, below: Sums) -> Sums:
    """above / below, NaN where below is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def equal_mass_bins(values: NDArray[np.float64], bins: int) -> NDArray[np.intp]:
    """[n]: a bin per value so that bins hold as equally many as ties allow (equal values share a bin)."""
    if len(values) == 0:
        return np.zeros(0, dtype=np.intp)
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins, method="lower"))
    return np.searchsorted(edges, values, side="right")


def gap_columns(
    predicted: NDArray[np.float64], observed: NDArray[np.float64], read: NDArray[np.bool_], bins: int
) -> NDArray[np.float64]:
    """[N, bins]: observed − predicted in the column of the entry's bin, 0 elsewhere."""
    columns = np.zeros((len(predicted), bins))
    rows = np.flatnonzero(read)
    columns[rows, equal_mass_bins(predicted[rows], bins)] = observed[rows] - predicted[rows]
    return columns
