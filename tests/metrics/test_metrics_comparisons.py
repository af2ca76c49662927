"""Paired tests, corrections for many comparisons, and verdicts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import expit
from scipy.stats import norm, wilcoxon
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from secondread.core.errors import BadData
from secondread.metrics.cases import Cases, cases
from secondread.metrics.claims import probability_of_false_claim, verdict
from secondread.metrics.comparisons import mcnemar, paired_bootstrap, paired_permutation, smallest_side
from secondread.metrics.defended import compare
from secondread.metrics.delong import Difference, paired_delong
from secondread.metrics.multiplicity import holm, max_t
from secondread.metrics.resampling import replicates, resampling
from secondread.metrics.scores import score
from secondread.metrics.treatment import nadeau_bengio, patients_and_seeds, treatment_effect, wilcoxon_blocks


def models(n: int = 240, shifts: tuple[float, ...] = (1.0, 1.0), seed: int = 0) -> list[Cases]:
    rng = np.random.default_rng(seed)
    present = np.arange(n) % 3 == 0
    shared = rng.normal(size=n)
    made = []
    for shift in shifts:
        p = expit(shift * present + 0.8 * shared + 0.6 * rng.normal(size=n) - 0.5)
        made.append(cases(np.stack([~present, present], 1).astype(float), np.stack([1 - p, p], 1), task="binary"))
    return made


@pytest.mark.parametrize("flip", [0.05, 0.4])
def test_mcnemar_equals_statsmodels(flip: float) -> None:
    rng = np.random.default_rng(0)
    first = rng.random(300) < 0.8
    second = first ^ (rng.random(300) < flip)
    found = mcnemar(first, second)
    table = [[(first & second).sum(), (first & ~second).sum()], [(~first & second).sum(), (~first & ~second).sum()]]
    small = (first != second).sum() < 25
    assert found.method == ("McNemar (exact)" if small else "McNemar")
    assert_allclose(found.p, statsmodels_mcnemar(table, exact=small, correction=False).pvalue, rtol=1e-9)
    assert_allclose(found.value, first.mean() - second.mean())
    assert found.low < found.value < found.high
    assert mcnemar(first, first).p == 1.0
    assert math.isnan(mcnemar(first[:0], first[:0]).p)


def test_paired_bootstrap_p_and_interval_say_the_same() -> None:
    rng = np.random.default_rng(0)
    for shift in np.linspace(0, 0.06, 25):
        first, second = 0.8 + shift + 0.02 * rng.normal(size=999), 0.8 + 0.02 * rng.normal(size=999)
        found = paired_bootstrap(float(shift), first, second, clusters=40)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    assert paired_bootstrap(0.0, np.full(5, 0.3), np.full(5, 0.3), clusters=40).p == 1.0
    assert math.isnan(paired_bootstrap(math.nan, np.full(5, np.nan), np.full(5, 0.3), clusters=40).p)


def test_permutation_equals_one_by_one_swapping() -> None:
    first, second = models(60, (1.6, 0.4))
    patients = np.arange(60) // 2
    p = paired_permutation(first, second, "f1", "1", patients, permutations=400, seed=5)
    rng = np.random.default_rng(5)
    swap = rng.integers(0, 2, size=(30, 400)).astype(bool)
    swap[:, 0] = False
    of_row = np.unique([f"id {v}" for v in patients], return_inverse=True)[1]

    def f1(decided: np.ndarray) -> float:
        truth = first.truth[:, 1]
        return 2 * (truth * decided).sum() / (truth + decided).sum()

    apart = []
    for column in swap.T:
        taken = column[of_row]
        one, other = first.decided[:, 1], second.decided[:, 1]
        apart.append(f1(np.where(taken, other, one)) - f1(np.where(taken, one, other)))
    assert_allclose(p, (np.abs(apart) >= abs(apart[0]) - 1e-7).mean(), atol=1e-9)


def test_permutation_of_ranks_does_not_mind_the_scale() -> None:
    first, second = models()
    q = second.probabilities[:, 1] ** 3
    stretched = Cases(second.y_true, np.stack([1 - q, q], 1), second.decisions, "binary", second.classes)
    same = [paired_permutation(first, other, "auroc", "1", permutations=300) for other in (second, stretched)]
    assert same[0] == same[1]
    better, worse = models(shifts=(2.5, 0.2))
    assert paired_permutation(better, worse, "auroc", "1", permutations=300) < 0.01
    with pytest.raises(BadData, match="same cases"):
        paired_permutation(first, second.take(np.arange(10)), "auroc", "1")


def test_compare_takes_the_paired_method_that_fits() -> None:
    first, second = models(shifts=(1.5, 1.0))
    alone = resampling(None, first.y_true, replicates=300)
    patients = resampling(np.arange(240) // 2, first.y_true, replicates=300)
    expected = {
        ("auroc", "1"): ("paired DeLong", "paired bootstrap"),
        ("accuracy", "overall"): ("McNemar", "paired bootstrap"),
        ("recall", "1"): ("McNemar (exact)", "paired bootstrap"),
        ("f1", "1"): ("paired bootstrap", "paired bootstrap"),
        ("brier", "overall"): ("paired bootstrap", "paired bootstrap"),
        ("auroc", "macro"): ("paired bootstrap", "paired bootstrap"),
    }
    for (metric, row), methods in expected.items():
        for drawn, method in zip((alone, patients), methods, strict=True):
            found = compare(first, second, metric, row, drawn)
            assert found.difference.method.startswith(method.split(" (")[0])
            values = [next(o.value for o in score(m, [metric]) if o.row == row) for m in (first, second)]
            assert_allclose(found.difference.value, values[0] - values[1], atol=1e-12)
            assert_allclose(found.mde, 2.8016 * found.difference.se, rtol=1e-3)
    found = compare(first, second, "auroc", "1", alone)
    scores = [m.probabilities[:, 1] for m in (first, second)]
    assert found.difference == paired_delong(*scores, first.truth[:, 1] == 1)
    assert (found.n, found.fewest) == (240, 80)
    made = [replicates(m, patients) for m in (first, second)]
    assert compare(first, second, "f1", "1", patients) == compare(
        first, second, "f1", "1", patients, first_made=made[0], second_made=made[1]
    )
    with pytest.raises(BadData, match="same cases"):
        compare(first, second.take(np.arange(240)[::-1]), "f1", "1", alone)


def test_comparisons_of_what_has_no_value_are_nan() -> None:
    first, second = models()
    p = second.probabilities.copy()
    p[0] = np.nan
    broken = cases(second.y_true, p, task="binary")
    found = compare(first, broken, "auroc", "1", resampling(None, first.y_true, replicates=20))
    assert math.isnan(found.difference.p)
    assert verdict(found.difference, found.difference.p, fewest=50) == "too few cases"


def test_the_smallest_side_counts_patients() -> None:
    first, _ = models(240)
    assert smallest_side(first, "1", resampling(None, first.y_true, replicates=2)) == 80
    rare = cases(np.eye(2)[[1] * 4 + [0] * 36], np.full((40, 2), 0.5), task="multilabel")
    assert smallest_side(rare, "1", resampling(None, rare.y_true, replicates=2)) == 4
    assert smallest_side(first, "overall", resampling(np.arange(240) // 6, first.y_true, replicates=2)) == 40


def test_corrections_equal_statsmodels() -> None:
    p = np.random.default_rng(0).random(12) ** 3
    assert_allclose(holm(p), multipletests(p, method="holm")[1])
    holed = np.insert(p, 4, np.nan)
    assert_allclose(np.delete(holm(holed), 4), holm(p))
    assert np.isnan(holm(holed)[4])
    assert len(holm([])) == 0


def test_max_t_is_the_plain_interval_for_one_and_gentler_than_bonferroni_for_many() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=4000)
    draws = 0.02 * (0.8 * shared + 0.6 * rng.normal(size=(6, 4000)))
    alone = max_t(np.array([0.05]), 0.05 + draws[:1], clusters=10_000)
    single = paired_bootstrap(0.05, 0.05 + draws[0], np.zeros(4000), clusters=10_000)
    assert_allclose([*alone.intervals[0], alone.p[0]], [single.low, single.high, single.p], rtol=1e-6)
    many = max_t(np.full(6, 0.05), 0.05 + draws, clusters=10_000)
    assert alone.quantile < many.quantile < 2.64  # Bonferroni's normal quantile for six
    assert ((many.p < 0.05) == (many.intervals[:, 0] > 0)).all()
    still = max_t(np.array([0.0, 0.05]), np.stack([np.zeros(4000), 0.05 + draws[0]]), clusters=10_000)
    assert still.p[0] == 1.0
    assert_allclose(still.intervals[1], alone.intervals[0])


def test_rounding_of_replicates_is_no_chance() -> None:
    """Two networks that each say one thing of every image: under a class mix held fixed their F1 never moves."""
    truth = np.eye(3)[np.repeat([0, 1, 2], [50, 31, 19])]
    says = [cases(truth, np.tile(np.eye(3)[k], (100, 1)), task="multiclass") for k in (0, 1)]
    drawn = resampling(None, truth, replicates=200)
    moved = [replicates(one, drawn, ["f1"]).of("f1", "macro") for one in says]
    value = float(np.diff([next(s.value for s in score(one, ["f1"]) if s.row == "macro") for one in says[::-1]])[0])
    assert 0 < np.abs(moved[0] - moved[1] - value).max() < 1e-6
    assert paired_bootstrap(value, moved[0], moved[1], 19).se == 0
    found = compare(says[0], says[1], "f1", "macro", drawn).difference
    assert found.low < 0 < found.high
    both = max_t(np.array([value, value]), np.stack([moved[0] - moved[1]] * 2), 19)
    assert_allclose(both.intervals, value)


def test_max_t_claims_nothing_without_a_draw_that_all_comparisons_have() -> None:
    unknown = max_t(np.array([0.1, 0.2]), np.stack([np.full(50, np.nan), np.linspace(0.1, 0.3, 50)]), clusters=40)
    assert np.isnan(unknown.intervals).all()
    assert np.isnan(unknown.p).all()


def test_nadeau_bengio_follows_its_formula() -> None:
    d = np.array([0.02, 0.01, 0.03, -0.01, 0.02])
    found = nadeau_bengio(d, n_train=80, n_test=20)
    assert_allclose(found.value / found.se, d.mean() / np.sqrt((1 / 5 + 20 / 80) * d.var(ddof=1)))
    assert found.se > d.std(ddof=1) / np.sqrt(5)
    assert math.isnan(nadeau_bengio([0.1], 80, 20).p)
    assert nadeau_bengio([0.0, 0.0], 80, 20).p == 1.0


def test_wilcoxon_over_blocks_agrees_with_scipy_and_with_its_interval() -> None:
    for seed in range(30):
        d = np.random.default_rng(seed).normal(0.8, 1, 9)
        found = wilcoxon_blocks(d)
        assert_allclose(found.p, wilcoxon(d).pvalue)
        assert (found.p < 0.05) == (found.low > 0 or found.high < 0)
    few = wilcoxon_blocks([0.1, 0.2, 0.3, 0.4, 0.5])
    assert (few.low, few.high) == (-np.inf, np.inf)
    assert wilcoxon_blocks([0.0, 0.0]).p == 1.0
    assert math.isnan(wilcoxon_blocks([]).p)


def test_treatment_effect_of_a_balanced_grid_is_the_mean_difference() -> None:
    rng = np.random.default_rng(0)
    arch, seed = np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4)
    base = 0.9 + 0.03 * rng.normal(size=4)[arch] + 0.01 * rng.normal(size=3)[seed]
    scores = np.stack([base, base + 0.02]) + 0.004 * rng.normal(size=(2, 12))
    found = treatment_effect(scores.ravel(), np.repeat([0, 1], 12), [f"a{i}" for i in arch] * 2, list(seed) * 2)
    assert_allclose(found.value, (scores[1] - scores[0]).mean(), atol=1e-6)
    assert found.p < 0.001
    # balanced two-way layout: the residual after arm, architecture and seed carries the standard error
    table = scores.reshape(2, 4, 3)
    m = table.mean()
    fitted = m + (table.mean((1, 2), keepdims=True) - m) + (table.mean((0, 2), keepdims=True) - m)
    residual = table - fitted - (table.mean((0, 1), keepdims=True) - m)
    assert_allclose(found.se, np.sqrt((residual**2).sum() / 17 * 2 / 12), rtol=0.02)


def test_treatment_effect_equals_the_mixed_model_of_statsmodels() -> None:
    rng = np.random.default_rng(3)
    arch, seed = np.repeat(np.arange(5), 4)[:17], np.tile(np.arange(4), 5)[:17]  # not balanced
    names, numbers = [f"a{i}" for i in arch] * 2, list(seed) * 2
    base = 0.03 * rng.normal(size=5)[arch] + 0.01 * rng.normal(size=4)[seed]
    scores = (0.9 + np.stack([base, base + 0.02]) + 0.006 * rng.normal(size=(2, 17))).ravel()
    arm = np.repeat([0, 1], 17)[3:]
    found = treatment_effect(scores[3:], arm, names[3:], numbers[3:])
    groups = [np.eye(5)[arch], np.eye(4)[seed]]
    parts = VCSpec(
        ["arch", "seed"],
        [[[f"{g} {k}" for k in range(z.shape[1])]] for g, z in zip(("arch", "seed"), groups, strict=True)],
        [[np.tile(z, (2, 1))[3:]] for z in groups],
    )
    fixed = np.stack([np.ones(31), arm], axis=1)
    theirs = MixedLM(scores[3:] * 30, fixed, np.ones(31), exog_vc=parts).fit(reml=True, method="powell")
    assert_allclose([found.value, found.se], [theirs.fe_params[1] / 30, theirs.bse_fe[1] / 30], rtol=1e-3)


def test_treatment_effect_of_too_little_has_no_p() -> None:
    assert math.isnan(treatment_effect([0.1, 0.2], [0, 1], ["a", "a"], [0, 0]).p)
    found = treatment_effect([0.80, 0.82, 0.81, 0.90, 0.91, 0.93], [0, 0, 0, 1, 1, 1], ["a"] * 6, [0, 1, 2] * 2)
    assert_allclose(found.value, 0.9133333 - 0.81, atol=1e-6)
    assert treatment_effect([0.9] * 8, [0, 1] * 4, ["a", "a", "b", "b"] * 2, [0, 0, 1, 1] * 2).p == 1.0
    with pytest.raises(BadData, match="one entry per trial"):
        treatment_effect([0.1], [0, 1], ["a"], [0])


@pytest.mark.parametrize("base", [[0.7, 0.7, 0.8, 0.8, 0.9, 0.9], [0.8] * 6, [0.1 + 0.2, 0.3, 0.7, 0.7, 0.65, 0.65]])
@pytest.mark.parametrize("gain", [0.05, -0.05, 0.0])
def test_the_same_difference_everywhere_has_no_p_and_no_interval(base: list[float], gain: float) -> None:
    """Chance that was never seen is not known to be none; only a difference of 0 needs none."""
    ours = np.array(base) + gain
    effect = treatment_effect([*ours, *base], [1] * 6 + [0] * 6, ["a", "a", "b", "b", "c", "c"] * 2, [0, 1] * 6)
    folds = nadeau_bengio(ours - base, n_train=80, n_test=20)
    for found in (effect, folds):
        assert_allclose(found.value, gain, atol=1e-9)
        assert found.p == 1.0 if gain == 0 else math.isnan(found.p)
        assert math.isnan(found.low)
        assert math.isnan(found.high)
        assert verdict(found, found.p, fewest=50) == ("no difference shown" if gain == 0 else "too few cases")


def test_a_tiny_spread_of_differences_still_has_a_p() -> None:
    base, rng = np.array([0.7, 0.71, 0.8, 0.82, 0.9, 0.91]), np.random.default_rng(0)
    ours = base + 1e-4 * rng.normal(size=6)
    found = treatment_effect([*ours, *base], [1] * 6 + [0] * 6, ["a", "a", "b", "b", "c", "c"] * 2, [0, 1] * 6)
    assert 0.001 < found.p < 1


@pytest.mark.parametrize("smaller", [10, 40])
def test_a_perfect_network_against_one_that_says_the_same_of_every_image(smaller: int) -> None:
    """DeLong's variance of the difference is 0: p is the level at which the opened interval reaches 0, never 0."""
    truth = np.eye(2)[np.repeat([0, 1], [60, smaller])]
    perfect = cases(truth, truth * 0.9 + 0.05, task="binary")
    constant = cases(truth, np.full((60 + smaller, 2), 0.5), task="binary")
    drawn = resampling(None, truth, replicates=20)
    found = compare(perfect, constant, "auroc", "1", drawn).difference
    assert_allclose([found.value, found.p], [0.5, 2 * 0.5**smaller])
    at_p = compare(perfect, constant, "auroc", "1", drawn, confidence=1 - found.p).difference
    assert_allclose(at_p.low, 0, atol=1e-6)


def test_draws_of_patients_and_seeds_hold_both_kinds_of_chance() -> None:
    rng = np.random.default_rng(0)
    test_noise = 0.02 * rng.normal(size=4000)
    seeds = 0.03 * rng.normal(size=5)
    found = patients_and_seeds(0.9 + seeds[:, None] + test_noise, seed=0)
    assert_allclose(found.std(), np.sqrt(test_noise.var() + seeds.var(ddof=1) / 5), rtol=0.05)
    assert_allclose(patients_and_seeds(0.9 + test_noise[None], seed=0), 0.9 + test_noise)


def test_false_claims_follow_the_dirichlet_formula() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random(200) < 0.9, rng.random(200) < 0.88
    only_first, only_second = (first & ~second).sum(), (~first & second).sum()
    rest = 200 - only_first - only_second
    draws = rng.dirichlet([only_first + 1, only_second + 1, rest + 2], 200_000)
    expected = (draws[:, 0] <= draws[:, 1]).mean()
    assert_allclose(probability_of_false_claim(first, second), expected, atol=0.005)
    assert_allclose(probability_of_false_claim(first, first), 0.5)
    # 181 against 180 of 200 right: science says 0.32 to 0.42, by how many cases they disagree on
    for common in (178, 170):
        one, other = np.zeros(200, dtype=bool), np.zeros(200, dtype=bool)
        one[:181], other[181 - common : 361 - common] = True, True
        assert 0.3 < probability_of_false_claim(one, other[:200]) < 0.5


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_minimal_detectable_difference_is_found_in_four_of_five(confidence: float) -> None:
    first, second = models(shifts=(1.5, 1.0))
    found = compare(first, second, "auroc", "1", resampling(None, first.y_true, replicates=5), confidence=confidence)
    se = found.difference.se
    observed = np.random.default_rng(0).normal(found.mde, se, 100_000)
    assert_allclose((np.abs(observed) > norm.ppf(0.5 + confidence / 2) * se).mean(), 0.8, atol=0.01)


@pytest.mark.parametrize("patients", [None, np.arange(60) // 2])
@pytest.mark.parametrize(("metric", "row"), [("auroc", "1"), ("f1", "1"), ("balanced_accuracy", "overall")])
def test_two_models_without_an_error_may_differ(metric: str, row: str, patients: np.ndarray | None) -> None:
    """As far as the exact bound of the smaller class: 20 patients, or 10 with two images each."""
    truth = np.eye(2)[np.repeat([0, 1], [40, 20])]
    perfect = cases(truth, truth * 0.9 + 0.05, task="binary")
    found = compare(perfect, perfect, metric, row, resampling(patients, truth, replicates=20))
    bound = 1 - float(proportion_confint(found.fewest, found.fewest, method="beta")[0])
    assert found.fewest == (20 if patients is None else 10)
    assert_allclose([found.difference.low, found.difference.value, found.difference.high], [-bound, 0, bound])
    assert math.isnan(found.mde)  # a test set that tells nothing apart says not what it would have shown


@pytest.mark.parametrize(
    ("value", "p", "fewest", "higher", "said"),
    [
        (0.05, 0.01, 50, True, "better"),
        (-0.05, 0.01, 50, True, "worse"),
        (-0.05, 0.01, 50, False, "better"),
        (0.05, 0.01, 50, False, "worse"),
        (0.05, 0.06, 50, True, "no difference shown"),
        (0.05, 0.01, 9, True, "too few cases"),
        (0.05, math.nan, 50, True, "too few cases"),
    ],
)
def test_verdicts(value: float, p: float, fewest: int, higher: bool, said: str) -> None:
    difference = Difference(value, value - 0.02, value + 0.02, 0.01, p, "any")
    assert verdict(difference, p, fewest=fewest, higher_is_better=higher) == said
    straddling = replace(difference, low=-0.1, high=0.1)
    assert verdict(straddling, p, fewest=50) in {"no difference shown", "too few cases"}
