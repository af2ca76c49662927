"""Confidence intervals: of proportions of independent cases, and from bootstrap replicates."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import beta, norm
from scipy.stats import t as student

Table = NDArray[np.float64]
ROUNDING = 1e-6
"""Replicates are ratios in single precision: this near their like are the same."""


def exact(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's exact interval of a share; NaN for n = 0."""
    if n <= 0:
        return math.nan, math.nan
    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, right, n - right + 1)) if right > 0 else 0.0
    high = float(beta.ppf(1 - tail, right + 1, n - right)) if right < n else 1.0
    return low, high


def percentile(values_RB: Table, confidence: float = 0.95) -> Table:
    """[R, 2]: the middle share of the replicates; NaN replicates (a class fell out) are left aside."""
    tail = 100 * (1 - confidence) / 2
    return _percentiles(values_RB, np.full((len(values_RB), 2), [tail, 100 - tail]))


def bca(points_R: Table, values_RB: Table, left_out_RG: Table, confidence: float = 0.95) -> Table:
    """[R, 2]: bias-corrected and accelerated intervals (Efron 1987).

    left_out_RG: the statistic with one patient or group left out, for the acceleration. A replicate that equals the
    point counts half (small sets have many), also where single precision has rounded it off by a digit.
    """
    finite = np.isfinite(values_RB)
    beyond = values_RB - points_R[:, None]
    same = np.abs(beyond) <= ROUNDING * np.maximum(np.abs(points_R[:, None]), 1)
    below = ((beyond < 0) & ~same).sum(axis=1) + 0.5 * same.sum(axis=1)
    share = below / np.maximum(finite.sum(axis=1), 1)
    edge = 0.5 / values_RB.shape[1]
    bias = norm.ppf(np.clip(share, edge, 1 - edge))
    number = np.maximum(np.isfinite(left_out_RG).sum(axis=1, keepdims=True), 1)
    apart = np.nansum(left_out_RG, axis=1, keepdims=True) / number - left_out_RG
    spread = np.nansum(apart**2, axis=1) ** 1.5
    acceleration = np.nansum(apart**3, axis=1) / (6 * np.where(spread > 0, spread, 1))
    z = bias[:, None] + norm.ppf([(1 - confidence) / 2, (1 + confidence) / 2])
    asked = norm.cdf(bias[:, None] + z / (1 - acceleration[:, None] * z))
    return _percentiles(values_RB, 100 * asked)


def logit_t(points_R: Table, values_RB: Table, freedom: float, confidence: float = 0.95) -> Table:
    """[R, 2]: bootstrap standard error carried to the logit scale, with Student's quantile, for scores in 0..1.

    The error is taken where the replicates live and divided by p(1 − p) (delta method): on the logit scale itself a few
    replicates without a single error would count as infinitely far and blow the interval up.
    """
    se = np.ma.masked_invalid(values_RB).std(axis=1, ddof=1).filled(np.nan)
    p = np.clip(points_R, 1e-9, 1 - 1e-9)
    half = student.ppf(0.5 + confidence / 2, max(freedom, 1)) * se / (p * (1 - p))
    return np.stack([expit(logit(p) - half), expit(logit(p) + half)], axis=1)


def _percentiles(values_RB: Table, asked_R2: Table) -> Table:
    made = np.full(asked_R2.shape, np.nan)
    for r, (values, asked) in enumerate(zip(values_RB, asked_R2, strict=True)):
        finite = values[np.isfinite(values)]
        if len(finite) and np.isfinite(asked).all():
            made[r] = np.percentile(finite, asked)
    return made


def at_the_edge(value: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a share observed as 0 or 1 in n cases (Clopper-Pearson); everything when n is too small to say."""
    bound = ((1 - confidence) / 2) ** (1 / max(n, 1))
    if value == 1.0:
        return bound, 1.0
    return (0.0, 1 - bound) if value == 0.0 else (0.0, 1.0)
