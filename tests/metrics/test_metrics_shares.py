"""Intervals that may be looked at at any time, against what they promise and against scipy's beta-binomial."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import betabinom, binom

from secondread.metrics.intervals import exact
from secondread.metrics.shares import share_at_any_time


@given(st.integers(0, 5000), st.integers(0, 5000), st.floats(0.5, 0.999))
def test_both_ends_are_where_a_mixture_of_all_shares_wins(right: int, wrong: int, confidence: float) -> None:
    n = right + wrong
    low, high = share_at_any_time(right, n, confidence)
    assert 0 <= low <= high <= 1
    assert not n or low <= right / n <= high
    mixed = betabinom.logpmf(right, n, 0.5, 0.5)
    for end in {low, high} - {0.0, 1.0}:
        assert mixed - binom.logpmf(right, n, end) == pytest.approx(-np.log(1 - confidence), rel=1e-5)


def test_nothing_seen_says_nothing() -> None:
    assert share_at_any_time(0, 0) == (0.0, 1.0)
    assert share_at_any_time(0, 50)[0] == 0
    assert share_at_any_time(50, 50)[1] == 1


@pytest.mark.parametrize("share", [0.03, 0.4])
def test_hardly_ever_leaves_the_truth_however_often_one_looks(share: float) -> None:
    """200 streams, looked at after every tenth case of 1,000; an interval for one look leaves it in a third of them."""
    looks = np.arange(10, 1001, 10)
    seen = np.cumsum(np.random.default_rng(0).random((200, 1000)) < share, axis=1)[:, looks - 1]
    assert _ever_left(seen, looks, share, share_at_any_time) <= 0.05
    assert _ever_left(seen, looks, share, exact) > 0.15


def _ever_left(seen: np.ndarray, looks: np.ndarray, share: float, interval: object) -> float:
    left = np.zeros(seen.shape, bool)
    for at, n in enumerate(looks):
        for right in np.unique(seen[:, at]):
            low, high = interval(int(right), int(n))  # type: ignore[operator]
            left[seen[:, at] == right, at] = not low <= share <= high
    return float(left.any(1).mean())
