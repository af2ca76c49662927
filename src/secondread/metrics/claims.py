"""From a difference to words: what a test set could show, how likely a claim is false, and verdicts."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc
from scipy.stats import norm

from secondread.metrics.delong import Difference

Verdict = Literal["better", "worse", "no difference shown", "too few cases"]
FEWEST = 10
"""Fewer positives or negatives than this carry no verdict."""


def verdict(
    difference: Difference,
    p_adjusted: float,
    *,
    fewest: int,
    higher_is_better: bool = True,
    level: float = 0.05,
) -> Verdict:
    """What may be said of the first against the second.

    p_adjusted: after correction for the number of comparisons. fewest: cases (patients, where images cluster) on the
    smallest side of any class the metric rests on. "better" and "worse" need both p_adjusted below the level and an
    interval that leaves out 0.
    """
    if fewest < FEWEST or not math.isfinite(difference.value) or not math.isfinite(p_adjusted):
        return "too few cases"
    straddles = difference.low <= 0 <= difference.high
    if p_adjusted >= level or straddles:
        return "no difference shown"
    return "better" if (difference.value > 0) == higher_is_better else "worse"


def minimal_detectable_difference(se: float, *, power: float = 0.8, level: float = 0.05) -> float:
    """The true difference that a two-sided test with this standard error finds with the given power (2.80 se).

    NaN without an error: two models that no case tells apart say nothing of what would have been seen.
    """
    if not se > 0:
        return math.nan
    return float((norm.ppf(1 - level / 2) + norm.ppf(power)) * se)


def probability_of_false_claim(first_right: NDArray[np.bool_], second_right: NDArray[np.bool_]) -> float:
    """P(the first is not more accurate than the second), given who was right on which case [n].

    Christodoulou et al. 2025 (arXiv 2505.04720): (only first right, only second right, rest) ~ Dirichlet(x₁ + 1,
    x₂ + 1, rest + 2). The ratio of the first two is Beta(x₁ + 1, x₂ + 1) whatever the rest, so their formula needs no
    draws: the chance that this Beta lies below one half.
    """
    only_first = int((first_right & ~second_right).sum())
    only_second = int((~first_right & second_right).sum())
    return float(betainc(only_first + 1, only_second + 1, 0.5))
