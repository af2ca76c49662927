"""Reliability, calibration line, Brier parts, decision curves, predictive values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve
from statsmodels.discrete.discrete_model import Logit
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from secondread.core.errors import BadData, WrongRequest
from secondread.metrics.fitting import logistic, refits
from secondread.metrics.reliability import brier_parts, calibration_line, reliability_curve
from secondread.metrics.resampling import resampling
from secondread.metrics.usefulness import decision_curve, predictive_values


def simulated(n: int = 3000, stretch: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 1.5, n)
    return expit(stretch * z), (rng.random(n) < expit(z)).astype(float)


def test_the_curve_equals_scikit_learn_in_equal_mass_bins() -> None:
    p, truth = simulated()
    found = reliability_curve(p, truth, bins=10)
    observed, predicted = calibration_curve(truth, p, n_bins=10, strategy="quantile")
    assert_allclose(found.observed, observed, atol=0.01)
    assert_allclose(found.predicted, predicted, atol=0.01)
    assert found.cases.sum() == 3000
    assert np.isnan(found.low).all()


def test_the_band_holds_the_diagonal_of_a_calibrated_model() -> None:
    p, truth = simulated()
    found = reliability_curve(p, truth, drawn=resampling(None, truth[:, None], replicates=300), bins=10)
    assert ((found.low <= found.predicted) & (found.predicted <= found.high)).sum() >= 8
    assert (found.low <= found.observed).all()
    assert (found.observed <= found.high).all()
    off = reliability_curve(*simulated(stretch=4), drawn=resampling(None, truth[:, None], replicates=300))
    assert ((off.low <= off.predicted) & (off.predicted <= off.high)).mean() < 0.6


def test_the_curve_of_few_or_broken_cases() -> None:
    p, truth = simulated(30)
    p[:5], truth[5:8] = np.nan, np.nan
    assert reliability_curve(p, truth).cases.sum() == 22
    assert len(reliability_curve(np.full(9, 0.5), np.ones(9)).cases) == 1
    assert len(reliability_curve(np.zeros(0), np.zeros(0)).cases) == 0
    with pytest.raises(BadData, match="30 cases"):
        reliability_curve(p, truth, drawn=resampling(None, np.ones((4, 1)), replicates=2))


def test_the_calibration_line_equals_statsmodels() -> None:
    p, truth = simulated(stretch=2.0)
    found = calibration_line(p, truth)
    x = np.stack([logit(p), np.ones(len(p))], 1)
    assert_allclose(found.slope, Logit(truth, x).fit(disp=0).params[0], rtol=1e-6)
    large = GLM(truth, x[:, 1:], family=Binomial(), offset=logit(p)).fit()
    assert_allclose(found.intercept, large.params[0], rtol=1e-6)
    assert_allclose(found.slope, 0.5, atol=0.05)
    assert_allclose(calibration_line(*simulated()).intercept, 0, atol=0.1)


def test_the_intervals_of_the_line_are_as_wide_as_walds_and_do_not_shrink_with_copies() -> None:
    p, truth = simulated(600, stretch=2.0)
    found = calibration_line(p, truth, drawn=resampling(None, truth[:, None], replicates=200))
    wald = Logit(truth, np.stack([logit(p), np.ones(len(p))], 1)).fit(disp=0).bse[0]
    low, high = found.slope_interval
    assert low < found.slope < high
    assert_allclose(high - low, 2 * 1.96 * wald, rtol=0.25)
    assert found.intercept_interval[0] < found.intercept < found.intercept_interval[1]
    patients, thrice = np.repeat(np.arange(600), 3), np.repeat(truth, 3)
    clustered = resampling(patients, thrice[:, None], replicates=200)
    three = calibration_line(np.repeat(p, 3), thrice, drawn=clustered)
    assert_allclose(np.ptp(three.slope_interval), high - low, rtol=0.15)
    parted = calibration_line(
        np.linspace(0.1, 0.9, 20), np.repeat([0.0, 1.0], 10), drawn=resampling(None, np.eye(20), replicates=9)
    )
    assert np.isnan(parted.slope_interval).all()


def test_refits_are_fits_of_repeated_cases() -> None:
    p, truth = simulated(80)
    x, times = logit(p), np.arange(80) % 3
    weights = np.stack([times, np.ones(80)], axis=1).astype(float)
    for fixed in (None, 1.0):
        start = logistic(x, truth, fixed_slope=fixed)
        assert start is not None
        found = np.array(refits(x, truth, weights, start, slope_fixed=fixed is not None)).T
        assert_allclose(found[0], logistic(np.repeat(x, times), np.repeat(truth, times), fixed_slope=fixed), rtol=1e-5)
        assert_allclose(found[1], start, rtol=1e-5)


def test_a_line_that_does_not_exist_has_its_reason() -> None:
    p = np.linspace(0.1, 0.9, 20)
    assert calibration_line(p, np.ones(20)).reason == "only one side of the class is present"
    assert calibration_line(p, (p > 0.5).astype(float)).reason == "the two sides are told apart completely"
    constant = calibration_line(np.full(20, 0.3), (p > 0.5).astype(float))
    assert constant.reason == "constant"
    assert_allclose(constant.intercept, -logit(0.3), atol=1e-9)


def test_brier_parts_add_up() -> None:
    p, truth = simulated(stretch=3)
    found = brier_parts(p, truth)
    assert_allclose(found.brier, ((p - truth) ** 2).mean())
    total = found.reliability - found.resolution + found.uncertainty + found.within
    assert_allclose(total, found.brier)
    assert abs(found.within) < 0.01
    assert brier_parts(*simulated()).reliability < found.reliability
    rounded = np.repeat([0.1, 0.4, 0.8], 100)
    parts = brier_parts(rounded, (np.arange(300) % 3 == 0).astype(float))
    assert_allclose(parts.within, 0, atol=1e-12)  # one value per bin: nothing is left inside
    assert math.isnan(brier_parts(np.zeros(0), np.zeros(0)).brier)


def test_net_benefit_by_hand() -> None:
    p, truth = np.array([0.1, 0.2, 0.5, 0.5, 0.9, np.nan]), np.array([0, 1, 0, 1, 1, 1.0])
    found = decision_curve(p, truth, [0.2, 0.5])
    assert_allclose(found.model, [3 / 5 - 1 / 5 * 0.25, 2 / 5 - 1 / 5])
    assert_allclose(found.treat_all, [0.6 - 0.4 * 0.25, 0.6 - 0.4])
    assert len(decision_curve(p, truth).thresholds) == 99
    assert np.isnan(decision_curve(p[:0], truth[:0]).model).all()
    with pytest.raises(WrongRequest, match="strictly between"):
        decision_curve(p, truth, [0.0])


def test_a_good_model_beats_treating_all_and_none() -> None:
    found = decision_curve(*simulated())
    middle = (found.thresholds > 0.1) & (found.thresholds < 0.7)
    assert (found.model[middle] > np.maximum(found.treat_all[middle], 0)).all()


def test_predictive_values_follow_bayes() -> None:
    low, high = predictive_values((0.9, 0.85, 0.94), (0.8, 0.75, 0.84), [0.01, 0.5])
    assert_allclose(low.ppv, 0.009 / (0.009 + 0.198))
    assert_allclose(high.npv, 0.4 / (0.4 + 0.05))
    assert low.ppv_low < low.ppv < low.ppv_high
    assert high.npv_low < high.npv < high.npv_high
    never = predictive_values((0.0, 0.0, 0.1), (1.0, 0.9, 1.0), 0.3)[0]
    assert math.isnan(never.ppv)
    all_sick = predictive_values((0.8, 0.6, 1.0), (0.0, 0.0, 0.3), 1.0)[0]
    assert math.isnan(all_sick.npv_low)  # nobody is well: at one end of the interval nobody is called so either
    assert math.isnan(all_sick.npv_high)
    assert all_sick.npv == 0.0
    with pytest.raises(WrongRequest, match="between 0 and 1"):
        predictive_values((0.9,) * 3, (0.9,) * 3, [1.5])
