"""Many comparisons at once: Holm, and simultaneous intervals that use their correlation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from secondread.metrics.intervals import ROUNDING

Vector = NDArray[np.float64]


def holm(p_values: ArrayLike) -> Vector:
    """[m]: p adjusted so that the chance of any false claim stays below the level (Holm 1979); NaN stay NaN."""
    given, order = _rising(p_values)
    steps = given[order] * (len(order) - np.arange(len(order)))
    given[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return given


def _rising(p_values: ArrayLike) -> tuple[Vector, NDArray[np.intp]]:
    given = np.array(p_values, dtype=np.float64, ndmin=1)
    finite = np.flatnonzero(np.isfinite(given))
    return given, finite[np.argsort(given[finite], kind="stable")]


@dataclass(frozen=True)
class Simultaneous:
    """Intervals [M, 2] that all hold at once with the given confidence, and p [M] adjusted for M comparisons."""

    intervals: Vector
    p: Vector
    quantile: float
    """How many standard errors wide each side is: 1.96 for one comparison, more for many."""


def max_t(values_M: Vector, replicates_MB: Vector, clusters: int, confidence: float = 0.95) -> Simultaneous:
    """Single-step max-T (Westfall & Young 1993) for M differences from one shared resampling.

    replicates_MB: the differences under the same draws, so that their correlation is in the columns; a comparison
    that never varies keeps its value as interval. Without a draw that all have, nothing is known.
    clusters: as in `comparisons.paired_bootstrap`.
    """
    usable = np.isfinite(replicates_MB).all(axis=0)
    if not usable.any():
        unknown = np.full(len(values_M), np.nan)
        return Simultaneous(np.repeat(unknown[:, None], 2, axis=1), unknown, float("nan"))
    strays = (replicates_MB[:, usable] - values_M[:, None]) * np.sqrt(max(clusters, 2) / max(clusters - 1, 1))
    se = np.sqrt((strays**2).mean(axis=1))
    varies = se > ROUNDING * np.maximum(1.0, np.abs(values_M))
    safe = np.where(varies, se, 1.0)
    if not varies.any():
        unclear = np.where(values_M == 0, 1.0, np.nan)
        return Simultaneous(np.repeat(values_M[:, None], 2, axis=1), unclear, float("nan"))
    largest = np.abs(strays[varies] / safe[varies, None]).max(axis=0)
    quantile = float(np.quantile(largest, confidence, method="higher"))
    half = np.where(varies, quantile * se, 0.0)
    reached = (largest[None, :] >= np.abs(values_M / safe)[:, None]).sum(axis=1)
    p = np.where(varies, (1 + reached) / (len(largest) + 1), np.where(values_M == 0, 1.0, np.nan))
    return Simultaneous(np.stack([values_M - half, values_M + half], axis=1), p, quantile)
