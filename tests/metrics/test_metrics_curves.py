"""The curves of the report against scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose
from sklearn import metrics as sk

from secondread.metrics.cases import Cases, cases
from secondread.metrics.curves import GRID, mean_trade_off, trade_off, with_both_sides
from secondread.metrics.resampling import resampling


def simulated(n: int = 300) -> Cases:
    """Rounded scores make ties."""
    rng = np.random.default_rng(0)
    present = np.arange(n) % 3 == 0
    p = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.2 * present).round(1)))
    return cases(np.stack([~present, present], 1).astype(float), np.stack([1 - p, p], 1), task="binary")


def ones(given: Cases) -> np.ndarray:
    return np.ones((given.n, 1))


def test_curves_equal_scikit_learn() -> None:
    given = simulated()
    truth, scores = given.truth[:, 1], given.probabilities[:, 1]
    x, y, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    assert_allclose(trade_off(given, 1, ones(given), "roc")[:, 0], np.interp(GRID, x, y))
    precision, recall, _ = sk.precision_recall_curve(truth, scores)
    precision, recall = precision[-2::-1], recall[-2::-1]  # from the highest threshold on
    first = [np.flatnonzero(recall >= at - 1e-9)[recall[recall >= at - 1e-9].argmin()] for at in GRID[1:]]
    assert_allclose(trade_off(given, 1, ones(given), "pr")[1:, 0], precision[first])


def test_weights_are_repetitions() -> None:
    given = simulated(60)
    drawn = resampling(None, given.y_true, replicates=5)
    weights = drawn.drawn[drawn.patient_of_row].astype(float)
    for kind in ("roc", "pr"):
        made = trade_off(given, 1, weights, kind)  # type: ignore[arg-type]
        for b in range(5):
            repeated = given.take(np.repeat(np.arange(given.n), weights[:, b].astype(int)))
            assert_allclose(made[:, b], trade_off(repeated, 1, ones(repeated), kind)[:, 0])  # type: ignore[arg-type]


def test_folds_are_averaged_and_those_with_one_side_left_out() -> None:
    plain = simulated()
    training = np.arange(plain.n) % 2
    training[(np.arange(plain.n) > 280) & (plain.truth[:, 1] == 0)] = 2  # a fold without the class
    given = replace(plain, training=training)
    assert len(with_both_sides(given, 1)) == 2
    parts = [given.take(np.flatnonzero(training == t)) for t in (0, 1)]
    alone = [trade_off(part, 1, ones(part), "roc")[:, 0] for part in parts]
    expected = np.average(alone, axis=0, weights=[part.positives[1] for part in parts])
    assert_allclose(mean_trade_off(given, 1, ones(given), "roc")[:, 0], expected)
    assert_allclose(mean_trade_off(plain, 1, ones(plain), "roc"), trade_off(plain, 1, ones(plain), "roc"))


def test_a_draw_without_a_side_is_no_curve() -> None:
    given = simulated(30)
    without = np.stack([given.truth[:, 0], given.truth[:, 1], np.ones(30)], 1)
    made = trade_off(given, 1, without, "roc")
    assert np.isnan(made[:, :2]).all()
    assert np.isfinite(made[:, 2]).all()
