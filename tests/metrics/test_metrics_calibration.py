"""Operating points: what is fitted on validation, in which order, and what comes out of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit, softmax
from sklearn.linear_model import LogisticRegression
from statsmodels.discrete.discrete_model import Logit

from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Rule
from secondread.metrics import thresholds
from secondread.metrics.calibration import OperatingPoint, fit_operating_point
from secondread.metrics.fitting import logistic, platt, prior_correction, temperature


def exclusive(
    n: int = 3000, prior: tuple[float, ...] = (0.6, 0.3, 0.1), seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Labels, and logits that are calibrated under this class mix (Gaussian classes with equal covariance)."""
    rng = np.random.default_rng(seed)
    k = len(prior)
    truth = np.eye(k)[rng.choice(k, n, p=prior)]
    seen = rng.normal(size=(n, k)) + 1.5 * truth
    return truth, 1.5 * seen + np.log(prior)


def labels(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(-1, 2, size=(n, 2))
    return (rng.random((n, 2)) < expit(logits)).astype(float), logits


def test_temperature_undoes_a_stretch() -> None:
    truth, z = exclusive()
    assert_allclose(temperature(z, truth), 1, atol=0.05)
    assert_allclose(temperature(3 * z, truth), 3 * temperature(z, truth), rtol=1e-3)
    assert_allclose(temperature(2 * (z - [1, 0, 2]), truth, np.array([1.0, 0, 2])), 2, atol=0.05)
    perfect = softmax(truth / temperature(truth, truth), axis=1)
    assert_allclose(perfect.max(axis=1), 1 - 1 / 3002 * 2 / 3, atol=1e-6)  # as sure as 3,000 right answers allow


def test_logistic_line_equals_statsmodels_and_scikit_learn() -> None:
    truth, z = labels()
    line = logistic(z[:, 0], truth[:, 0])
    assert line is not None
    expected = Logit(truth[:, 0], np.stack([z[:, 0], np.ones(len(z))], 1)).fit(disp=0)
    assert_allclose(line, expected.params, rtol=1e-6)
    plain = LogisticRegression(C=np.inf, tol=1e-9).fit(z[:, :1], truth[:, 0])
    assert_allclose(line, [plain.coef_[0, 0], plain.intercept_[0]], rtol=1e-4)


def test_logistic_line_that_does_not_exist_is_none() -> None:
    x = np.arange(20.0)
    assert logistic(x, (x > 9).astype(float)) is None
    assert logistic(np.ones(20), (x > 5).astype(float)) is None
    assert platt(x, (x > 9).astype(float)).slope > 0  # Platt's targets keep it finite


def test_platt_undoes_a_line() -> None:
    truth, z = labels()
    line = platt((z[:, 0] - 0.7) / 2.5, truth[:, 0])
    assert_allclose(line, [2.5, 0.7], atol=0.15)


def test_prior_correction_restores_calibration_after_balancing() -> None:
    natural, balanced = np.array([0.6, 0.3, 0.1]), np.full(3, 1 / 3)
    truth, z = exclusive(20_000)
    trained = z + np.log(balanced) - np.log(natural)  # what a model fitted on balanced classes gives
    shift = prior_correction("multiclass", balanced, natural)
    assert shift is not None
    assert_allclose(softmax(trained + shift, axis=1), softmax(z, axis=1))
    before = softmax(trained, axis=1).mean(axis=0) - truth.mean(axis=0)
    after = softmax(trained + shift, axis=1).mean(axis=0) - truth.mean(axis=0)
    assert np.abs(after).max() < 0.01 < np.abs(before).max()
    assert_allclose(prior_correction("multilabel", [0.5], [0.1]), logit(0.1))
    assert prior_correction("binary", None, [0.5, 0.5]) is None
    assert np.isfinite(prior_correction("binary", [0.0, 1.0], [0.5, 0.5])).all()  # type: ignore[arg-type]


def test_the_whole_operating_point_of_exclusive_classes() -> None:
    truth, z = exclusive()
    balanced, natural = np.full(3, 1 / 3), truth.mean(axis=0)
    raw = 2 * (z + np.log(balanced) - np.log(natural))  # trained on balanced classes, and twice too sure
    point = fit_operating_point(
        raw, truth, task="multiclass", classes=["a", "b", "c"], train_prior=balanced, natural_prior=natural
    )
    assert_allclose(point.prior_correction, np.log(natural / balanced))
    assert_allclose(point.temperature, 2, atol=0.1)
    assert_allclose(point.probabilities(raw), softmax(raw * point.scale + point.offset, axis=1))
    assert_allclose(point.probabilities(raw).sum(axis=1), 1)
    assert_allclose(point.probabilities(raw).mean(axis=0), natural, atol=0.01)
    decided = point.decide(point.probabilities(raw))
    recalls = ((decided * truth).sum(axis=0) / truth.sum(axis=0)).mean()
    plain = np.eye(3)[raw.argmax(axis=1)]
    assert recalls >= ((plain * truth).sum(axis=0) / truth.sum(axis=0)).mean()


def test_labels_are_calibrated_one_by_one() -> None:
    truth, z = labels()
    truth[:500, 0] = np.nan
    raw = (z - [0.5, -1]) / [2, 0.5]
    point = fit_operating_point(raw, truth, task="multilabel", classes=["a", "b"])
    assert_allclose(point.platt, [(2, 0.5), (0.5, -1)], atol=0.15)
    assert_allclose(point.probabilities(raw), expit(raw * point.scale + point.offset))
    said = ~np.isnan(truth[:, 0])
    assert_allclose(point.probabilities(raw)[said, 0].mean(), truth[said, 0].mean(), atol=0.01)


def best_by_trying(p: np.ndarray, truth: np.ndarray, worth: np.ndarray) -> float:
    cuts = np.concatenate([[-1], np.sort(p), [2]])
    return max(float(np.where(p > cut, worth[:, 1], worth[:, 0]).sum()) for cut in cuts)


@pytest.mark.parametrize("seed", range(5))
def test_two_class_thresholds_are_the_best_there_are(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = thresholds.two_sided((rng.random(80) < 0.3).astype(float))
    p = np.clip(rng.random(80) * 0.6 + 0.3 * truth[:, 1], 0, 1).round(2)
    both = thresholds.two_sided(p)
    cut = thresholds.youden(both, truth)
    worth = truth / truth.sum(axis=0)
    assert_allclose(np.where(p >= cut[1], worth[:, 1], worth[:, 0]).sum(), best_by_trying(p, truth, worth), atol=1e-12)
    costs = np.array([[0, 1.0], [7, 0]])
    cut = thresholds.cheapest(both, truth, costs)
    worth = -truth @ costs
    assert_allclose(np.where(p >= cut[1], worth[:, 1], worth[:, 0]).sum(), best_by_trying(p, truth, worth), atol=1e-12)


def test_many_class_thresholds_find_what_a_grid_finds() -> None:
    truth, z = exclusive(300)
    p = softmax(z, axis=1)
    cut = thresholds.youden(p, truth)
    worth = truth / truth.sum(axis=0)

    def total(cuts: np.ndarray) -> float:
        return float((np.eye(3)[(p / cuts).argmax(axis=1)] * worth).sum())

    tried = [np.array([a, b, 1 - a - b]) for a in np.linspace(0.02, 0.9, 60) for b in np.linspace(0.02, 0.95 - a, 60)
             if 1 - a - b > 0.01]  # fmt: skip
    assert_allclose(cut.sum(), 1)
    assert total(cut) >= max(total(t) for t in tried) - 0.01
    assert total(cut) >= total(np.full(3, 1 / 3))
    alike = thresholds.cheapest(p, truth, 1 - np.eye(3))
    assert ((np.eye(3)[(p / alike).argmax(axis=1)] * truth).sum()) >= (np.eye(3)[p.argmax(1)] * truth).sum()


def test_a_target_sensitivity_is_reached_as_late_as_can_be() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random(300) < 0.3).astype(float)
    p = np.clip(rng.normal(0.3 + 0.3 * truth, 0.15), 0.001, 0.999)
    for target in (0.5, 0.8, 0.95, 1.0):
        cut = thresholds.for_sensitivity(p, truth, target)
        assert (p[truth == 1] >= cut).mean() >= target
        found = np.sort(p[truth == 1])
        higher = found[found > cut]
        if len(higher) > 1:
            assert (p[truth == 1] >= higher[1]).mean() < target
    point = fit_operating_point(
        np.stack([-logit(p), logit(p)], 1) / 2,
        thresholds.two_sided(truth),
        task="binary",
        classes=["no", "yes"],
        rule=Rule(name="sensitivity", sensitivity=0.9),
    )
    decided = point.decide(point.probabilities(np.stack([-logit(p), logit(p)], 1) / 2))
    assert 0.9 <= decided[truth == 1, 1].mean() <= 0.92


def test_rules_that_do_not_fit_are_refused() -> None:
    truth, z = exclusive(100)
    with pytest.raises(WrongRequest, match="one positive class"):
        fit_operating_point(z, truth, task="multiclass", classes="abc", rule=Rule(name="sensitivity"))
    with pytest.raises(WrongRequest, match="3 × 3"):
        fit_operating_point(z, truth, task="multiclass", classes="abc", rule=Rule(name="cost", cost=[[0, 1], [1, 0]]))
    with pytest.raises(BadData, match="do not fit"):
        fit_operating_point(z, truth[:, :2], task="multiclass", classes="abc")


def test_a_threshold_decides_and_nothing_is_decided_without_a_number() -> None:
    point = OperatingPoint("binary", ("no", "yes"), (0, 0), 1.0, (), (0.7, 0.3), ((0.6, 0.8), (0.2, 0.4)))
    p = np.array([[0.71, 0.29], [0.7, 0.3], [0.1, 0.9], [np.nan, np.nan], [0.9, 0.1]])
    assert_allclose(point.decide(p), [[1, 0], [0, 1], [0, 1], [np.nan, np.nan], [1, 0]])
    assert point.is_uncertain(p).any(axis=1).tolist() == [True, True, False, True, False]
    many = OperatingPoint("multiclass", ("a", "b", "c"), (0,) * 3, 1.0, (), (0.6, 0.3, 0.1), ((0.0, 0.5),) * 3)
    p = np.array([[0.5, 0.3, 0.2], [0.55, 0.35, 0.1], [0.9, 0.05, 0.05]])
    assert many.decide(p).argmax(axis=1).tolist() == [2, 1, 0]
    assert many.is_uncertain(p).any(axis=1).tolist() == [True, True, False]
    single = OperatingPoint("multilabel", ("a", "b"), (0, 0), 1.0, ((1, 0),) * 2, (0.5, 0.2), ((0.4, 0.6), (0.2, 0.2)))
    p = np.array([[0.45, 0.2], [0.7, np.nan]])
    assert_allclose(single.decide(p), [[0, 1], [1, np.nan]])
    assert single.is_uncertain(p).tolist() == [[True, False], [False, True]]
    assert np.isnan(many.probabilities([[np.nan, 0, 0]])).all()
    assert many.decide(np.zeros((0, 3))).shape == (0, 3)
    with pytest.raises(BadData, match="3 classes"):
        many.probabilities(np.zeros((2, 2)))


def test_the_band_holds_its_share_of_the_validation_cases() -> None:
    truth, z = labels()
    for share in (0.05, 0.2):
        point = fit_operating_point(z, truth, task="multilabel", classes="ab", uncertain_share=share)
        assert_allclose(point.is_uncertain(point.probabilities(z)).mean(axis=0), share, atol=0.01)
        for cut, (low, high) in zip(point.thresholds, point.uncertain, strict=True):
            assert low < cut < high
    truth, z = exclusive()
    point = fit_operating_point(z, truth, task="multiclass", classes="abc", uncertain_share=0.1)
    assert_allclose(point.is_uncertain(point.probabilities(z)).any(axis=1).mean(), 0.1, atol=0.01)
    none = fit_operating_point(z, truth, task="multiclass", classes="abc", uncertain_share=0)
    assert not none.is_uncertain(none.probabilities(z)).any()
    rows = truth[:, 2] == 0
    two = fit_operating_point(z[rows, :2], truth[rows, :2], task="binary", classes="ab", uncertain_share=0.1)
    assert_allclose(two.is_uncertain(two.probabilities(z[rows, :2])).any(axis=1).mean(), 0.1, atol=0.01)
    assert_allclose(two.uncertain[0], 1 - np.array(two.uncertain[1])[::-1])


def test_what_cannot_be_fitted_keeps_neutral_values_and_says_so() -> None:
    truth, z = exclusive(200)
    scarce = truth[:, 2].cumsum() <= 4
    point = fit_operating_point(z[scarce], truth[scarce], task="multiclass", classes="abc")
    assert point.temperature == 1.0
    assert "4 validation cases" in point.notes[0]
    nothing = fit_operating_point(np.zeros((0, 3)), np.zeros((0, 3)), task="multiclass", classes="abc")
    assert_allclose(nothing.thresholds, 1 / 3)
    assert len(nothing.notes) == 2
    truth, z = labels(200)
    truth[:, 1] = 0
    point = fit_operating_point(np.stack([-z[:, 0], z[:, 1]], 1), truth, task="multilabel", classes="ab")
    assert point.platt == ((1.0, 0.0), (1.0, 0.0))
    assert [note[:2] for note in point.notes] == ["a:", "b:"]
    broken = z.copy()
    broken[:50] = np.nan
    fitted = fit_operating_point(broken, truth, task="multilabel", classes="ab")
    assert fitted == fit_operating_point(z[50:], truth[50:], task="multilabel", classes="ab")


def test_thresholds_that_rest_on_few_cases_say_so() -> None:
    truth, z = exclusive(200)
    scarce = truth[:, 2].cumsum() <= 4
    for rule, told in ((Rule(name="argmax"), 0), (Rule(name="youden"), 1)):
        point = fit_operating_point(z[scarce], truth[scarce], task="multiclass", classes="abc", rule=rule)
        assert sum("thresholds rest on few cases: a class has 4" in note for note in point.notes) == told
    truth, z = labels(200)
    truth[:, 1] = np.arange(200) < 3
    given = np.stack([z[:, 0], z[:, 1]], 1)
    point = fit_operating_point(given, truth, task="multilabel", classes="ab", rule=Rule(name="youden"))
    said = "b: calibration left as it is, and the threshold rests on few (3 cases on one side, fewer than 10)"
    assert list(point.notes) == [said]


def test_an_operating_point_survives_json() -> None:
    truth, z = labels()
    point = fit_operating_point(z, truth, task="multilabel", classes=["a", "b"], train_prior=[0.5, 0.5],
                                natural_prior=[0.3, 0.3])  # fmt: skip
    again = OperatingPoint.from_dict(json.loads(json.dumps(point.to_dict())))
    assert again == point
    assert_allclose(again.probabilities(z), point.probabilities(z), rtol=0)
    with pytest.raises(BadData, match="not an operating point"):
        OperatingPoint.from_dict({"task": "binary"})
    with pytest.raises(BadData, match="other lengths"):
        OperatingPoint.from_dict(replace(point, thresholds=(0.5,)).to_dict())
