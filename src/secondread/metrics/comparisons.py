"""Two models on the same cases: paired tests, each with the interval of the difference (first minus second)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm, rankdata

from secondread.core.errors import BadData
from secondread.metrics.cases import Cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.delong import Difference
from secondread.metrics.intervals import ROUNDING
from secondread.metrics.resampling import Resampling, patient_numbers, replicates_of
from secondread.metrics.scores import Key, measure
from secondread.metrics.tally import Sums, tally

Vector = NDArray[np.float64]


def mcnemar(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_], confidence: float = 0.95) -> Difference:
    """Difference in the share of right decisions on independent cases [n].

    p: exact (binomial) below 25 discordant cases, else chi-square without continuity correction. Interval: Bonett and
    Price 2012 (adjusted Wald for paired proportions).
    """
    n = len(first_right)
    only_first = int((first_right & ~second_right).sum())
    only_second = int((~first_right & second_right).sum())
    discordant = only_first + only_second
    is_exact = discordant < 25
    name = "McNemar (exact)" if is_exact else "McNemar"
    if n == 0:
        return Difference(np.nan, np.nan, np.nan, np.nan, np.nan, name)
    if is_exact:
        p = float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
    else:
        p = float(2 * norm.sf(abs(only_first - only_second) / np.sqrt(discordant)))
    a, b = (only_first + 1) / (n + 2), (only_second + 1) / (n + 2)
    se = float(np.sqrt((a + b - (a - b) ** 2) / (n + 2)))
    half = norm.ppf(0.5 + confidence / 2) * se
    value = (only_first - only_second) / n
    return Difference(value, max(-1.0, a - b - half), min(1.0, a - b + half), se, p, name)


def paired_bootstrap(
    value: float, first_B: Vector, second_B: Vector, clusters: int, confidence: float = 0.95
) -> Difference:
    """Difference of any metric from replicates of the same resampling.

    The interval is symmetric: value ± the quantile of |replicate − value|; p is the share of replicates that stray as
    far from the value as the value is from 0, so p < 1 − confidence exactly when the interval leaves 0 out. Deviations
    are widened by √(c / (c − 1)), c = `clusters` patients in the smallest class that the metric rests on, because a
    bootstrap of few patients is too narrow by that much. Where all are rounding, the error is 0.
    """
    moved = first_B - second_B
    moved = moved[np.isfinite(moved)]
    if len(moved) == 0 or not np.isfinite(value):
        return Difference(np.nan, np.nan, np.nan, np.nan, np.nan, "paired bootstrap")
    strays = np.abs(moved - value) * np.sqrt(max(clusters, 2) / max(clusters - 1, 1))
    if strays.max() <= ROUNDING * max(1.0, abs(value)):
        strays = np.zeros_like(strays)
    half = float(np.quantile(strays, confidence, method="higher"))
    p = 1.0 if value == 0 else float((1 + (strays >= abs(value)).sum()) / (len(strays) + 1))
    se = float(np.sqrt((strays**2).mean()))
    return Difference(value, value - half, value + half, se, p, "paired bootstrap")


def paired_permutation(
    first: Cases,
    second: Cases,
    metric: str,
    row: str,
    patients: NDArray[np.generic] | None = None,
    *,
    permutations: int = 2000,
    seed: int = 0,
) -> float:
    """Two-sided p of the difference in any metric: the two models' outputs change places, patient by patient.

    Scores are first replaced by their ranks within each model where the metric is about ranks (Bandos 2005), so that
    models on different scales can be exchanged.
    """
    if first.n != second.n or not np.array_equal(first.known, second.known):
        raise BadData("a paired test needs both models on the same cases")
    if METRICS[metric].needs == "ranks":
        first, second = _ranked(first), _ranked(second)
    both = Cases(
        np.concatenate([first.y_true, second.y_true]),
        np.concatenate([first.probabilities, second.probabilities]),
        np.concatenate([first.decisions, second.decisions]),
        first.task,
        first.classes,
        None if first.training is None else np.concatenate([first.training, first.training]),
    )
    of_row = patient_numbers(patients, first.n)
    rng = np.random.default_rng(seed)
    swap = rng.integers(0, 2, size=(int(of_row.max()) + 1, permutations)).astype(np.float32)
    swap[:, 0] = 0  # as observed

    def statistic(kept: bool) -> Vector:
        blocks = _swapped(swap if kept else 1 - swap, of_row)
        return replicates_of(both, blocks, lambda t: measure(t, [METRICS[metric]]), row).of(metric, row)

    apart = statistic(False) - statistic(True)
    if not np.isfinite(apart[0]):
        return float("nan")
    return float((np.abs(apart) >= abs(apart[0]) - 1e-7).mean())


def _swapped(swap_CB: Sums, of_row: NDArray[np.int64]) -> Iterator[tuple[slice, Sums]]:
    """Weights [2 N, block]: a row of the first model counts where it is not swapped, the second's where it is."""
    step = max(32, 1_000_000 // len(of_row))
    for start in range(0, swap_CB.shape[1], step):
        columns = slice(start, start + step)
        taken = swap_CB[:, columns][of_row]
        yield columns, np.concatenate([taken, 1 - taken])


def _ranked(cases: Cases) -> Cases:
    ranks = np.full(cases.probabilities.shape, np.nan)
    for k in range(len(cases.classes)):
        for own in cases.by_training:
            read = own[cases.read[own, k]]
            ranks[read, k] = rankdata(cases.probabilities[read, k]) / max(1, len(read))
    return Cases(cases.y_true, ranks, cases.decisions, cases.task, cases.classes, cases.training)


def value_of(cases: Cases, key: Key) -> float:
    """One score of the sample itself."""
    return float(measure(tally(cases, cases.column(key[1])), [METRICS[key[0]]])[key][0])


def smallest_side(cases: Cases, row: str, drawn: Resampling) -> int:
    """Patients in the smallest class that a row of scores rests on: the effective size of a comparison."""
    own = cases.column(row)
    columns = np.flatnonzero(cases.eligible).tolist() if own is None else [own]
    sides = []
    for k in columns:
        for side in (cases.truth[:, k] == 1, cases.read[:, k] & (cases.truth[:, k] == 0)):
            sides.append(len(np.unique(drawn.patient_of_row[side])))
    return min(sides, default=0)
