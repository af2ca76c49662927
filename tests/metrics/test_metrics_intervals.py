"""Intervals of one score: DeLong, Wilson, exact, bootstrap; and which of them is chosen."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit, logit
from scipy.stats import bootstrap, norm
from statsmodels.stats.proportion import proportion_confint

from secondread.metrics.cases import Cases, cases
from secondread.metrics.defended import interval_method, scores_with_intervals
from secondread.metrics.delong import components, delong, paired_delong
from secondread.metrics.intervals import at_the_edge, bca, exact, logit_t, percentile
from secondread.metrics.resampling import leave_outs, replicates, resampling
from secondread.metrics.scores import Score, score
from secondread.metrics.shares import wilson


def simulated(n: int = 200, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    present = np.arange(n) % 4 == 0
    scores = rng.normal(size=n) + present
    return (scores.round(1) if ties else scores), present


def binary(n: int = 200, seed: int = 0) -> Cases:
    scores, present = simulated(n, seed)
    p = expit(scores - 1)
    return cases(np.stack([~present, present], 1).astype(float), np.stack([1 - p, p], 1), task="binary")


def naive_variance(scores: np.ndarray, present: np.ndarray) -> tuple[float, float]:
    """AUROC and DeLong's variance by comparing every pair."""
    pairs = np.sign(scores[present][:, None] - scores[~present][None, :]) / 2 + 0.5
    m, n = pairs.shape
    return pairs.mean(), pairs.mean(1).var(ddof=1) / m + pairs.mean(0).var(ddof=1) / n


@pytest.mark.parametrize("ties", [False, True])
def test_delong_equals_the_comparison_of_all_pairs(ties: bool) -> None:
    scores, present = simulated(ties=ties)
    found = delong(scores, present)
    value, variance = naive_variance(scores, present)
    assert_allclose([found.value, found.se], [value, math.sqrt(variance)], rtol=1e-12)
    half = norm.ppf(0.975) * found.se / (value * (1 - value))
    assert_allclose([found.low, found.high], expit(logit(value) + np.array([-half, half])), rtol=1e-12)


def test_paired_delong_equals_the_covariance_of_all_pairs() -> None:
    first, present = simulated(ties=True)
    second = first + np.random.default_rng(9).normal(size=len(first)).round(1)
    found = paired_delong(first, second, present)
    pairs = [np.sign(s[present][:, None] - s[~present][None, :]) / 2 + 0.5 for s in (first, second)]
    positive, negative = (np.cov([p.mean(axis) for p in pairs]) for axis in (1, 0))
    covariance = positive / present.sum() + negative / (~present).sum()
    se = math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    assert_allclose(found.se, se, rtol=1e-10)
    assert_allclose(found.p, 2 * norm.sf(abs(found.value) / se), rtol=1e-10)
    assert paired_delong(first, first, present).p == 1.0


def test_placements_average_to_the_auroc() -> None:
    positive, negative = components(*simulated(ties=True))
    assert_allclose(positive.mean(), negative.mean())


def test_delong_says_what_it_can_at_the_edges() -> None:
    present = np.arange(40) < 10
    perfect = delong(-np.arange(40.0), present)
    assert perfect.value == perfect.high == 1.0
    assert_allclose(perfect.low, proportion_confint(10, 10, method="beta")[0])
    assert math.isnan(delong(np.arange(3.0), np.zeros(3, dtype=bool)).value)
    assert delong(np.array([0.5, 0.5]), np.array([True, False])).low == 0.0


@pytest.mark.parametrize(("right", "n"), [(0, 10), (3, 10), (10, 10), (88, 200)])
def test_shares_equal_statsmodels(right: int, n: int) -> None:
    assert_allclose(wilson(right, n), proportion_confint(right, n, method="wilson"), atol=1e-12)
    assert_allclose(exact(right, n), np.nan_to_num(proportion_confint(right, n, method="beta"), nan=0), atol=1e-12)
    assert_allclose(wilson(right, n, 0.9), proportion_confint(right, n, alpha=0.1, method="wilson"), atol=1e-12)
    if right in (0, n):
        assert_allclose(at_the_edge(right / n, n), exact(right, n), atol=1e-12)
    assert all(math.isnan(end) for end in (*wilson(0, 0), *exact(0, 0)))


def test_bca_and_percentile_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    sample = rng.exponential(size=60)
    picks = np.random.default_rng(1).integers(0, 60, (20_000, 60))
    values = sample[picks].mean(axis=1)[None]
    left_out = ((sample.sum() - sample) / 59)[None]
    for name, ours in (("BCa", bca(sample.mean(keepdims=True), values, left_out)), ("percentile", percentile(values))):
        theirs = bootstrap((sample,), np.mean, n_resamples=20_000, method=name, rng=np.random.default_rng(2))
        assert_allclose(ours[0], theirs.confidence_interval, atol=0.01)


def test_replicates_that_equal_the_point_count_half_in_single_precision_too() -> None:
    right = np.repeat([1.0, 0.0], [20, 10])  # 2/3 has no exact value, and one replicate in seven equals it
    drawn = np.random.default_rng(0).integers(0, 30, size=(4000, 30))
    values, left_out = right[drawn].mean(axis=1)[None], ((20 - right) / 29)[None]
    point = right.mean(keepdims=True)
    exactly = bca(point, values, left_out)
    for rounded in (np.float32, np.float64):
        np.testing.assert_allclose(bca(point, values.astype(rounded).astype(float), left_out), exactly, atol=1e-6)
    found = bootstrap((right,), np.mean, method="BCa", n_resamples=4000, rng=np.random.default_rng(1))
    np.testing.assert_allclose(exactly[0], found.confidence_interval, atol=0.035)  # a step of 1/30 apart at most


def test_replicates_without_a_value_are_left_aside() -> None:
    values = np.array([[0.1, np.nan, 0.2, 0.3, 0.4], [np.nan] * 5])
    found = percentile(values, 0.5)
    assert_allclose(found[0], np.percentile([0.1, 0.2, 0.3, 0.4], [25, 75]))
    assert np.isnan(found[1]).all()


def test_logit_t_stays_within_bounds_and_widens_with_fewer_patients() -> None:
    values = np.random.default_rng(0).beta(30, 2, (1, 500))
    few, many = logit_t(np.array([0.97]), values, 5)[0], logit_t(np.array([0.97]), values, 500)[0]
    assert 0 < few[0] < many[0] < 0.97 < many[1] < few[1] < 1


@pytest.mark.parametrize(
    ("metric", "row", "clustered", "method"),
    [
        ("auroc", "1", False, "delong"),
        ("auroc", "1", True, "bootstrap"),
        ("auroc", "macro", False, "bootstrap"),
        ("accuracy", "overall", False, "wilson"),
        ("accuracy", "overall", True, "bootstrap"),
        ("recall", "1", False, "wilson"),
        ("recall", "weighted", False, "bootstrap"),
        ("f1", "1", False, "bootstrap"),
        ("brier", "overall", False, "bootstrap"),
    ],
)
def test_the_method_follows_the_score_and_the_rows(metric: str, row: str, clustered: bool, method: str) -> None:
    assert interval_method(metric, row, "binary", clustered) == method


def interval(found: list[Score], metric: str, row: str) -> Score:
    return next(one for one in found if (one.metric, one.row) == (metric, row))


def test_every_score_gets_the_interval_of_its_method() -> None:
    given = binary()
    found = scores_with_intervals(given, resampling(None, given.y_true, replicates=400))
    assert [(one.metric, one.row, one.value) for one in found] == [
        (one.metric, one.row, one.value) for one in score(given)
    ]
    for one in found:
        assert one.low <= one.value <= one.high, one
        assert one.method
    area = interval(found, "auroc", "1")
    expected = delong(given.probabilities[:, 1], given.truth[:, 1] == 1)
    assert (area.low, area.high, area.method) == (expected.low, expected.high, "DeLong (logit)")
    right = int((given.truth * given.decided).sum())
    hit = interval(found, "accuracy", "overall")
    assert (hit.low, hit.high, hit.method) == (*wilson(right, 200), "Wilson")
    recall = interval(found, "recall", "1")
    assert (recall.low, recall.high) == wilson((given.truth * given.decided)[:, 1].sum(), given.truth[:, 1].sum())
    assert interval(found, "f1", "1").method == "bootstrap (BCa)"
    assert interval(found, "average_precision", "1").method == "bootstrap (logit t)"


def test_several_rows_of_a_patient_widen_the_interval() -> None:
    given = binary(100)
    repeated = given.take(np.repeat(np.arange(100), 3))
    alone = scores_with_intervals(given, resampling(None, given.y_true), ["auroc", "accuracy"])
    clustered = scores_with_intervals(
        repeated, resampling(np.repeat(np.arange(100), 3), repeated.y_true), ["auroc", "accuracy"]
    )
    for key in (("auroc", "1"), ("accuracy", "overall")):
        one, three = interval(alone, *key), interval(clustered, *key)
        assert "patient bootstrap" in three.method
        assert_allclose(three.high - three.low, one.high - one.low, rtol=0.15)  # copies add no information


def test_a_share_without_an_error_is_bounded_by_those_it_is_a_share_of() -> None:
    """60 patients of one class, read without an error: a bound for 60, though the other class has none."""
    truth = np.tile([1.0, 0.0], (120, 1))
    sure = np.tile([0.9, 0.1], (120, 1))
    given = Cases(truth, sure, truth.copy(), "binary", ("0", "1"))
    found = scores_with_intervals(given, resampling(np.arange(120) // 2, truth), ["specificity", "accuracy"])
    for key in (("specificity", "1"), ("accuracy", "overall")):
        assert_allclose([interval(found, *key).low, interval(found, *key).high], exact(60, 60), atol=1e-9)


def test_intervals_of_replicates_at_hand_are_the_same() -> None:
    given = binary()
    drawn = resampling(np.arange(200) // 2, given.y_true, replicates=300)
    made = replicates(given, drawn)
    assert scores_with_intervals(given, drawn, made=made) == scores_with_intervals(given, drawn)
    corrected = bca(
        np.array([interval(score(given), "f1", "1").value]),
        made.of("f1", "1")[None],
        leave_outs(given, drawn).of("f1", "1")[None],
    )
    found = interval(scores_with_intervals(given, drawn), "f1", "1")
    assert_allclose([found.low, found.high], corrected[0])


def test_a_perfect_model_gets_an_open_lower_end_and_a_missing_value_none() -> None:
    truth = np.eye(2)[[0] * 40 + [1] * 20]
    found = scores_with_intervals(cases(truth, truth, task="binary"), resampling(None, truth, replicates=100))
    for metric in ("f1", "auroc", "average_precision", "balanced_accuracy"):
        row = "overall" if metric == "balanced_accuracy" else "1"
        one = interval(found, metric, row)
        assert one.value == one.high == 1.0
        assert_allclose(one.low, exact(20, 20)[0])
    lonely = np.eye(2)[[0] * 10]
    found = scores_with_intervals(cases(lonely, lonely, task="binary"), resampling(None, lonely, replicates=50))
    area = interval(found, "auroc", "1")
    assert math.isnan(area.value)
    assert math.isnan(area.low)
    assert area.reason == "no 1 case in this set"


def test_one_patient_and_one_row_raise_nothing() -> None:
    given = binary(40)
    for some in (given.take(np.arange(1)), given):
        drawn = resampling(["p"] * some.n, some.y_true, replicates=50)
        for one in scores_with_intervals(some, drawn):
            assert isinstance(one.low, float)


SMALLEST = 20


@pytest.mark.parametrize(("metric", "row"), [("mcc", "overall"), ("f1", "macro"), ("balanced_accuracy", "overall")])
@pytest.mark.parametrize("classes", [2, 3, 7])
def test_a_perfect_score_has_an_interval(metric: str, row: str, classes: int) -> None:
    """The one-sided exact bound (Clopper-Pearson) of the smallest class, on the metric's own scale."""
    truth = np.eye(classes)[np.repeat(np.arange(classes), [33] * (classes - 1) + [SMALLEST])]
    perfect = cases(truth, truth * 0.9 + 0.05, task="binary" if classes == 2 else "multiclass")
    drawn = resampling(None, truth, replicates=50)
    found = next(one for one in scores_with_intervals(perfect, drawn, [metric]) if one.row == row)
    bound = float(proportion_confint(SMALLEST, SMALLEST, method="beta")[0])
    assert found.value == found.high == 1.0
    assert found.low == pytest.approx(2 * bound - 1 if metric == "mcc" else bound)


def test_labels_without_an_error_have_an_interval() -> None:
    truth = (np.random.default_rng(0).random((80, 3)) < 0.4).astype(float)
    perfect = cases(truth, truth * 0.9 + 0.05, task="multilabel")
    drawn = resampling(None, truth, replicates=50)
    found = {one.row: one for one in scores_with_intervals(perfect, drawn, ["hamming"])}
    assert found["overall"].value == found["overall"].low == 0.0
    assert found["overall"].high == pytest.approx(1 - float(proportion_confint(80, 80, method="beta")[0]))
