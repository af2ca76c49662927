"""ROC and precision-recall curves against scikit-learn, and their bands."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn import metrics as sk

from secondread.core.errors import BadData
from secondread.metrics.curves import precision_recall_curve, roc_curve
from secondread.metrics.resampling import resampling


def simulated(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = (np.arange(n) % 3 == 0).astype(float)
    return (rng.normal(size=n) + 1.2 * truth).round(1), truth


def test_curves_equal_scikit_learn() -> None:
    scores, truth = simulated()
    roc = roc_curve(scores, truth)
    x, y, _ = sk.roc_curve(truth, scores, drop_intermediate=False)
    assert_allclose([roc.x, roc.y], [x, y])
    curve = precision_recall_curve(scores, truth)
    precision, recall, _ = sk.precision_recall_curve(truth, scores)
    assert_allclose(curve.x, recall[:-1][::-1])
    assert_allclose(curve.y, precision[:-1][::-1])
    assert np.isnan(roc.low).all()


@pytest.mark.parametrize("curve", [roc_curve, precision_recall_curve])
def test_bands_hold_the_curve_and_widen_with_clusters(curve) -> None:  # type: ignore[no-untyped-def]
    scores, truth = simulated()
    alone = curve(scores, truth, drawn=resampling(None, truth[:, None], replicates=200))
    assert (alone.low <= alone.high + 1e-9).all()
    inside = np.interp(alone.grid, alone.x, alone.y)
    middle = slice(10, 91)
    assert (alone.low[middle] <= inside[middle] + 0.03).all()
    assert (inside[middle] <= alone.high[middle] + 0.03).all()
    patients, thrice = np.repeat(np.arange(300), 3), np.repeat(truth, 3)
    three = curve(np.repeat(scores, 3), thrice, drawn=resampling(patients, thrice[:, None], replicates=200))
    width, width_of_three = (float((c.high - c.low)[middle].mean()) for c in (alone, three))
    assert_allclose(width, width_of_three, rtol=0.15)


def test_curves_of_one_side_or_broken_rows() -> None:
    scores, truth = simulated()
    assert len(roc_curve(scores, np.zeros(300)).x) == 0
    assert len(precision_recall_curve(scores[:0], truth[:0]).x) == 0
    holed = scores.copy()
    holed[:10] = np.nan
    assert_allclose(roc_curve(holed, truth).y, roc_curve(scores[10:], truth[10:]).y)
    with pytest.raises(BadData, match="300 cases"):
        roc_curve(scores, truth, drawn=resampling(None, truth[:5, None], replicates=2))
