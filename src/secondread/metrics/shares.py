"""Intervals of shares of independent cases, without scipy, which the web application has not."""

from __future__ import annotations

import math
from statistics import NormalDist

HALVINGS = 45
PRIOR = 0.5
"""Of both sides of the beta mixture: that of Jeffreys."""


def wilson(right: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share of independent cases; NaN for n = 0."""
    if n <= 0:
        return math.nan, math.nan
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = right / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def share_at_any_time(right: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The confidence sequence of a share of independent cases: at every n at once it holds the true share with this
    confidence, so that looking each day and stopping at what one likes gives no false alarm; (0, 1) for n = 0.

    It holds the shares that a beta mixture of all shares does not beat by 1 / (1 - confidence) (Robbins 1970, Annals
    of Mathematical Statistics 41, 1397; Howard et al. 2021, Annals of Statistics 49, 1055).
    """
    beaten = math.log(1 / (1 - confidence))
    low = _edge(0.0, right, n, beaten) if right else 0.0
    high = _edge(1.0, right, n, beaten) if right < n else 1.0
    return low, high


def _edge(outside: float, right: int, n: int, beaten: float) -> float:
    """Where the interval ends between the share seen and `outside`, which is impossible."""
    inside = right / n
    for _ in range(HALVINGS):
        middle = (outside + inside) / 2
        if _mixture_over(middle, right, n) >= beaten:
            outside = middle
        else:
            inside = middle
    return outside


def _mixture_over(share: float, right: int, n: int) -> float:
    """Log of how many times as likely the cases are under the mixture as under `share`; convex in it."""
    mixture = _log_beta(right + PRIOR, n - right + PRIOR) - _log_beta(PRIOR, PRIOR)
    return mixture - _times_log(right, share) - _times_log(n - right, 1 - share)


def _times_log(count: int, share: float) -> float:
    if count == 0:
        return 0.0
    return count * math.log(share) if share > 0 else -math.inf


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
