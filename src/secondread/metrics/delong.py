"""DeLong's variance of the AUROC, for one curve and for the difference of two on the same independent cases.

DeLong, DeLong & Clarke-Pearson 1988; in O(n log n) by midranks after Sun & Xu 2014. Rows must be independent: with
several images of a patient use the cluster bootstrap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm, rankdata

from secondread.metrics.intervals import at_the_edge

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A value with its interval and standard error."""

    value: float
    low: float
    high: float
    se: float


@dataclass(frozen=True)
class Difference:
    """First minus second, with its interval, standard error and two-sided p."""

    value: float
    low: float
    high: float
    se: float
    p: float
    method: str


def components(scores: Vector, present: NDArray[np.bool_]) -> tuple[Vector, Vector]:
    """Placements: of each positive among the negatives [P] (their mean is the AUROC), of each negative above [M]."""
    positive, negative = scores[present], scores[~present]
    p, m = len(positive), len(negative)
    together = rankdata(np.concatenate([positive, negative]))
    of_positive = (together[:p] - rankdata(positive)) / m
    of_negative = 1 - (together[p:] - rankdata(negative)) / p
    return of_positive, of_negative


def delong(scores: Vector, present: NDArray[np.bool_], confidence: float = 0.95) -> Estimate:
    """AUROC with a logit-transformed DeLong interval. scores, present [n]. NaN where a class is absent.

    Where the two classes are told apart perfectly the variance is 0 and says nothing: the open side of the interval is
    then the exact bound for as many right pairs as the smaller class has cases.
    """
    p, m = int(present.sum()), int((~present).sum())
    if p == 0 or m == 0:
        return Estimate(np.nan, np.nan, np.nan, np.nan)
    of_positive, of_negative = components(scores, present)
    value = float(of_positive.mean())
    if value in (0.0, 1.0) or min(p, m) < 2:
        low, high = at_the_edge(value, min(p, m), confidence)
        return Estimate(value, low, high, 0.0 if min(p, m) > 1 else np.nan)
    se = float(np.sqrt(of_positive.var(ddof=1) / p + of_negative.var(ddof=1) / m))
    low, high = logit_interval(value, se, norm.ppf(0.5 + confidence / 2))
    return Estimate(value, low, high, se)


def paired_delong(first: Vector, second: Vector, present: NDArray[np.bool_], confidence: float = 0.95) -> Difference:
    """Difference of two AUROCs on the same cases. first, second, present [n]. A variance of 0 gives no p but of 0."""
    name = "paired DeLong"
    p, m = int(present.sum()), int((~present).sum())
    if p < 2 or m < 2:
        return Difference(np.nan, np.nan, np.nan, np.nan, np.nan, name)
    one, other = components(first, present), components(second, present)
    value = float(one[0].mean() - other[0].mean())
    se = float(np.sqrt((one[0] - other[0]).var(ddof=1) / p + (one[1] - other[1]).var(ddof=1) / m))
    if se == 0:
        return Difference(value, value, value, 0.0, 1.0 if value == 0 else np.nan, name)
    half = norm.ppf(0.5 + confidence / 2) * se
    return Difference(value, value - half, value + half, se, float(2 * norm.sf(abs(value) / se)), name)


def logit_interval(value: float, se: float, quantile: float) -> tuple[float, float]:
    """value ± quantile·se on the logit scale, so that the interval stays within 0 and 1 (value strictly inside)."""
    centre, half = logit(value), quantile * se / (value * (1 - value))
    return float(expit(centre - half)), float(expit(centre + half))
