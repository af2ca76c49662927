"""Two estimates from different patients compared, each known by its interval alone."""

from __future__ import annotations

import math


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
