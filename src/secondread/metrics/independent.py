"""Two estimates from different patients compared, each known by its interval alone."""

from __future__ import annotations

import math
from statistics import NormalDist


def difference_of_independent(
    first: tuple[float, float, float], second: tuple[float, float, float]
) -> tuple[float, float, float]:
    """First minus second with an interval, each given as value, low and high at one confidence.

    The distances of each value to its own limits are put together as roots of sums of squares, so that intervals that
    lie unevenly about their value keep that (MOVER: Zou and Donner 2008, Statistics in Medicine 27, 1693; for two
    shares it is Newcombe's hybrid score interval, 1998). NaN where a limit is missing.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    low = a - b - math.hypot(a - a_low, b_high - b)
    high = a - b + math.hypot(a_high - a, b - b_low)
    return a - b, low, high


def at_confidence(
    estimate: tuple[float, float, float], given: float, wanted: float, ends: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float, float]:
    """A value with its interval at another confidence than it was given at: each side in proportion to the normal
    quantile, within `ends`."""
    value, low, high = estimate
    if given == wanted:
        return estimate
    quantile = NormalDist().inv_cdf
    reach = quantile(0.5 + wanted / 2) / quantile(0.5 + given / 2)
    return value, max(ends[0], value - reach * (value - low)), min(ends[1], value + reach * (high - value))
