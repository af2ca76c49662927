"""Estimates of different patients compared by their intervals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.proportion import confint_proportions_2indep

from secondread.metrics.independent import at_confidence, difference_of_independent
from secondread.metrics.shares import wilson


@given(st.integers(2, 400), st.integers(2, 400), st.data())
def test_of_two_shares_it_is_newcombes_interval(n: int, m: int, data: st.DataObject) -> None:
    x, y = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    _, low, high = difference_of_independent((x / n, *wilson(x, n)), (y / m, *wilson(y, m)))
    oracle = confint_proportions_2indep(x, n, y, m, method="newcomb", compare="diff")
    assert (low, high) == pytest.approx(oracle, abs=1e-9)


def test_the_example_of_newcombe_1998() -> None:
    """56 of 70 against 48 of 80, method 10: .2 (.0524 to .3339)."""
    found = difference_of_independent((56 / 70, *wilson(56, 70)), (48 / 80, *wilson(48, 80)))
    assert found == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_a_missing_limit_gives_no_interval() -> None:
    value, low, high = difference_of_independent((0.8, math.nan, math.nan), (0.7, 0.6, 0.8))
    assert value == pytest.approx(0.1)
    assert math.isnan(low)
    assert math.isnan(high)


def test_an_interval_at_another_confidence_is_walds_and_stays_possible() -> None:
    value, se = 0.8, 0.03
    at = {c: (value, value - norm.ppf(0.5 + c / 2) * se, value + norm.ppf(0.5 + c / 2) * se) for c in (0.8, 0.95)}
    assert at_confidence(at[0.8], 0.8, 0.95) == pytest.approx(at[0.95])
    assert at_confidence(at[0.95], 0.95, 0.95) == at[0.95]
    assert at_confidence((0.99, 0.96, 0.999), 0.8, 0.95)[2] == 1.0
    assert at_confidence((-0.9, -0.97, -0.8), 0.8, 0.95, (-1.0, 1.0))[1] == -1.0
