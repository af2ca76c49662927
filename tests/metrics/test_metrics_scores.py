"""Scores against scikit-learn, and what happens on hostile tables."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn import metrics as sk

from secondread.core.errors import BadData, WrongRequest
from secondread.core.registry import parts
from secondread.core.spec import Evaluate
from secondread.core.tables import Task
from secondread.metrics.cases import CHEXPERT_FIVE, Cases, cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.defended import compare, scores_with_intervals
from secondread.metrics.resampling import resampling
from secondread.metrics.scores import confusion_matrix, counts, expected_cost, left_out_of, score
from secondread.metrics.tally import tally

NAMED = [
    *("accuracy", "balanced_accuracy", "precision", "recall", "specificity", "f1", "auroc", "average_precision"),
    *("mcc", "log_loss", "brier", "ece", "exact_match", "hamming"),
]


def simulated(task: Task, n: int = 400, k: int = 4, seed: int = 0, ties: bool = True) -> Cases:
    """Cases whose classes all occur; rounded probabilities make ties."""
    rng = np.random.default_rng(seed)
    k = 2 if task == "binary" else k
    if task == "multilabel":
        truth = (rng.random((n, k)) < np.linspace(0.1, 0.5, k)).astype(float)
        p = 1 / (1 + np.exp(-(rng.normal(size=(n, k)) + 2 * truth - 1)))
    else:
        truth = np.eye(k)[np.concatenate([np.arange(k), rng.choice(k, n - k, p=np.arange(1, k + 1) * 2 / k / (k + 1))])]
        p = np.exp(rng.normal(size=(n, k)) + truth)
    p = p.round(2) + 0.01 if ties else p
    return cases(truth, p if task == "multilabel" else p / p.sum(axis=1, keepdims=True), task=task)


def values(given: Cases) -> dict[tuple[str, str], float]:
    return {(one.metric, one.row): one.value for one in score(given)}


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_ranks_are_compared_within_each_training(task: Task) -> None:
    """The oracle is scikit-learn within each, weighted by pairs (AUROC) and by positives (average precision)."""
    plain = simulated(task)
    of_row = np.arange(plain.n) % 3
    given = replace(plain, training=of_row)
    found, alone = values(given), values(plain)
    for k, row in enumerate(given.classes):
        parts = [(given.truth[of_row == t, k], given.probabilities[of_row == t, k]) for t in range(3)]
        pairs = [truth.sum() * (1 - truth).sum() for truth, _ in parts]
        area = [sk.roc_auc_score(*part) for part in parts]
        assert_allclose(found["auroc", row], np.average(area, weights=pairs))
        precise = [sk.average_precision_score(*part) for part in parts]
        assert_allclose(found["average_precision", row], np.average(precise, weights=[t.sum() for t, _ in parts]))
    others = {key for key in found if METRICS[key[0]].needs != "ranks"}
    assert_allclose([found[key] for key in others], [alone[key] for key in others])


def test_a_training_on_another_scale_changes_no_rank_and_its_intervals_are_the_bootstraps() -> None:
    plain = simulated("binary", n=200)
    of_row = np.arange(plain.n) % 2
    moved = plain.probabilities.copy()
    moved[of_row == 1, 1] = moved[of_row == 1, 1] ** 5  # in the same order, but far lower
    first, second = (replace(plain, probabilities=p, training=of_row) for p in (plain.probabilities, moved))
    drawn = resampling(None, plain.y_true, replicates=200)
    (one,), (other,) = (
        [s for s in scores_with_intervals(c, drawn, ["auroc"]) if s.row == "1"] for c in (first, second)
    )
    assert (one.value, one.low, one.high) == (other.value, other.low, other.high)
    assert "DeLong" not in one.method
    found = compare(first, second, "auroc", "1", drawn)
    assert (found.difference.value, found.difference.method) == (0.0, "paired bootstrap")
    assert values(replace(first, training=None))["auroc", "1"] > values(replace(second, training=None))["auroc", "1"]


def test_trainings_that_each_saw_one_side_have_no_auroc() -> None:
    given = simulated("binary", n=100)
    one_sided = replace(given, training=given.truth[:, 1].astype(np.int64))
    (found,) = [s for s in score(one_sided, ["auroc"]) if s.row == "1"]
    assert math.isnan(found.value)
    assert found.reason == "no fold has both 1 and other cases"


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_exclusive_scores_equal_scikit_learn(task: Task) -> None:
    given, found = simulated(task), values(simulated(task))
    truth, decided, p = given.truth.argmax(1), given.decided.argmax(1), given.probabilities
    expected = {
        ("accuracy", "overall"): sk.accuracy_score(truth, decided),
        ("balanced_accuracy", "overall"): sk.balanced_accuracy_score(truth, decided),
        ("mcc", "overall"): sk.matthews_corrcoef(truth, decided),
        ("log_loss", "overall"): sk.log_loss(truth, p),
        ("brier", "overall"): sk.brier_score_loss(truth, p if task == "multiclass" else p[:, 1]),
    }
    per_class = sk.precision_recall_fscore_support(truth, decided)
    for k, row in enumerate(given.classes):
        for name, column in zip(("precision", "recall", "f1"), per_class, strict=False):
            expected[name, row] = column[k]
        expected["auroc", row] = sk.roc_auc_score(truth == k, p[:, k])
        expected["average_precision", row] = sk.average_precision_score(truth == k, p[:, k])
        expected["brier", row] = sk.brier_score_loss(truth == k, p[:, k])
        expected["log_loss", row] = sk.log_loss(truth == k, p[:, k])
        expected["specificity", row] = sk.recall_score(truth != k, decided != k)
    for average in ("macro", "micro", "weighted"):
        found_by = sk.precision_recall_fscore_support(truth, decided, average=average)
        for name, value in zip(("precision", "recall", "f1"), found_by, strict=False):
            expected[name, average] = value
        expected["auroc", average] = sk.roc_auc_score(given.truth, p, average=average)
        expected["average_precision", average] = sk.average_precision_score(given.truth, p, average=average)
    for key, value in expected.items():
        assert_allclose(found[key], value, rtol=0, atol=1e-9, err_msg=str(key))


def test_multilabel_scores_equal_scikit_learn() -> None:
    given = simulated("multilabel")
    found, truth, decided, p = values(given), given.truth.astype(int), given.decided.astype(int), given.probabilities
    expected = {
        ("exact_match", "overall"): sk.accuracy_score(truth, decided),
        ("hamming", "overall"): sk.hamming_loss(truth, decided),
        ("accuracy", "macro"): 1 - sk.hamming_loss(truth, decided),
        ("balanced_accuracy", "macro"): np.mean(
            [sk.balanced_accuracy_score(*c) for c in zip(truth.T, decided.T, strict=True)]
        ),
    }
    for average in ("macro", "micro", "weighted"):
        for name, function in (("precision", sk.precision_score), ("recall", sk.recall_score), ("f1", sk.f1_score)):
            expected[name, average] = function(truth, decided, average=average)
        expected["auroc", average] = sk.roc_auc_score(truth, p, average=average)
        expected["average_precision", average] = sk.average_precision_score(truth, p, average=average)
    for k, row in enumerate(given.classes):
        expected["mcc", row] = sk.matthews_corrcoef(truth[:, k], decided[:, k])
        expected["log_loss", row] = sk.log_loss(truth[:, k], p[:, k])
        expected["accuracy", row] = sk.accuracy_score(truth[:, k], decided[:, k])
    for key, value in expected.items():
        assert_allclose(found[key], value, rtol=0, atol=1e-9, err_msg=str(key))


def test_masked_labels_are_left_out_label_by_label() -> None:
    given = simulated("multilabel", n=300)
    truth = given.y_true.copy()
    hidden = np.random.default_rng(1).random(truth.shape) < 0.3
    truth[hidden] = np.nan
    found = values(cases(truth, given.probabilities, task="multilabel"))
    for k, row in enumerate(given.classes):
        said = ~hidden[:, k]
        area = sk.roc_auc_score(truth[said, k], given.probabilities[said, k])
        assert_allclose(found["auroc", row], area, atol=1e-12)
        assert_allclose(found["f1", row], sk.f1_score(truth[said, k], given.decided[said, k]), atol=1e-12)
    wrong = (given.decided != given.y_true)[~hidden].mean()
    assert_allclose(found["hamming", "overall"], wrong, atol=1e-12)


@pytest.mark.parametrize("side", [1, 0])
def test_macro_of_labels_needs_ten_cases_on_either_side_and_chexpert_mean_takes_its_five(side: int) -> None:
    rng = np.random.default_rng(0)
    names = [*CHEXPERT_FIVE, "Fracture"]
    truth = (rng.random((200, 6)) < 0.3).astype(float)
    truth[:, 5] = 1 - side
    truth[:9, 5] = side
    p = np.clip(rng.random((200, 6)) * 0.6 + 0.3 * truth, 0, 1)
    found = values(cases(truth, p, task="multilabel", classes=names))
    five = np.mean([found["auroc", name] for name in CHEXPERT_FIVE])
    assert_allclose([found["auroc", "macro"], found["auroc", "chexpert_five"]], five, atol=1e-12)
    truth[9, 5] = side
    found = values(cases(truth, p, task="multilabel", classes=names))
    assert_allclose(found["auroc", "macro"], np.mean([found["auroc", name] for name in names]), atol=1e-12)


def test_a_mean_says_what_it_leaves_out_and_no_other_score_does() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((200, 3)) < (0.4, 0.4, 0.02)).astype(float)
    found = score(cases(truth, rng.random((200, 3)), task="multilabel", classes=["a", "b, c", "rare"]))
    told = {(one.metric, one.row): one.reason for one in found}
    of_means = {reason for (_, row), reason in told.items() if row in ("macro", "weighted")}
    assert of_means == {"without rare (fewer than 10 cases on a side)"}  # specificity and Brier score like F1
    assert {left_out_of(f"BCa; {reason}") for reason in of_means} == {"rare"}
    assert not any(reason for (_, row), reason in told.items() if row in ("micro", "overall"))  # they have all entries
    assert not any(left_out_of(reason) for (_, row), reason in told.items() if row not in ("macro", "weighted"))


def test_ece_has_bins_of_equal_mass() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(1500)
    truth = (rng.random(1500) < p**2).astype(float)
    found = values(cases(np.stack([1 - truth, truth], 1), np.stack([1 - p, p], 1), task="binary"))
    order = np.argsort(p).reshape(15, 100)
    expected = np.abs(truth[order].mean(axis=1) - p[order].mean(axis=1)).mean()
    assert_allclose(found["ece", "overall"], expected, atol=1e-9)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(1, 40), st.integers(2, 5), st.sampled_from(["multiclass", "multilabel"]), st.integers(0, 10**6))
def test_the_counts_of_every_class_sum_to_n(n: int, k: int, task: Task, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = np.eye(k)[rng.integers(0, k, n)] if task == "multiclass" else (rng.random((n, k)) < 0.4).astype(float)
    p = rng.random((n, k))
    p[rng.random(n) < 0.1] = np.nan
    given = cases(truth, p, task=task)
    for one, unread in zip(counts(given), given.unread, strict=True):
        assert one.n == n
        assert one.unread == unread
        assert min(one.tp, one.fp, one.fn, one.tn) >= 0
        if one.tn + one.fp:
            assert_allclose(one.specificity + one.fpr, 1)
        if one.tp + one.fn:
            assert_allclose(one.sensitivity + one.fnr, 1)


def test_counts_agree_with_the_confusion_matrix() -> None:
    given = simulated("multiclass")
    matrix = confusion_matrix(given)
    assert np.array_equal(matrix, sk.confusion_matrix(given.truth.argmax(1), given.decided.argmax(1)))
    for k, one in enumerate(counts(given)):
        assert (one.tp, one.fn, one.fp) == (
            matrix[k, k],
            matrix[k].sum() - matrix[k, k],
            matrix[:, k].sum() - matrix[k, k],
        )


def test_expected_cost_weighs_the_confusion_matrix() -> None:
    given, costs = simulated("multiclass"), np.array([[0, 1, 2, 3], [5, 0, 1, 1], [9, 1, 0, 1], [9, 2, 2, 0]])
    assert_allclose(expected_cost(given, costs), [(confusion_matrix(given) * costs).sum() / given.n])
    labels = simulated("multilabel")
    wrong = sum((one.fp + 10 * one.fn) / one.n for one in counts(labels))
    assert_allclose(expected_cost(labels, [[0, 1], [10, 0]]), [wrong])
    with pytest.raises(WrongRequest, match="4 × 4"):
        expected_cost(given, [[0, 1], [1, 0]])
    assert_allclose(expected_cost(tally(given), 1 - np.eye(4)), 1 - values(given)["accuracy", "overall"])


def test_every_metric_of_the_design_is_a_part_and_none_else() -> None:
    assert list(METRICS) == NAMED
    assert set(parts("metrics")) == set(NAMED)
    assert set(Evaluate().metrics) <= set(NAMED)
    for task in ("binary", "multiclass", "multilabel"):
        given = simulated(task)  # type: ignore[arg-type]
        rows = {(one.metric, one.row) for one in score(given)}
        for metric in METRICS.values():
            if task in metric.tasks:
                assert (metric.name, metric.headline(given.task, given.classes)) in rows
    with pytest.raises(WrongRequest, match="acuracy"):
        score(simulated("binary"), ["acuracy"])


def test_the_binary_headline_is_the_second_class() -> None:
    assert METRICS["f1"].headline("binary", ("normal", "pneumonia")) == "pneumonia"
    assert METRICS["accuracy"].headline("binary", ("normal", "pneumonia")) == "overall"
    assert METRICS["f1"].headline("multiclass", ("a", "b", "c")) == "macro"
    assert METRICS["brier"].headline("multilabel", ("a", "b")) == "macro"


def reasons(given: Cases) -> dict[tuple[str, str], str]:
    return {(one.metric, one.row): one.reason for one in score(given) if math.isnan(one.value)}


def test_an_absent_class_is_named_and_left_out_of_the_macro_mean() -> None:
    given = simulated("multiclass", k=3)
    absent = given.take(given.truth[:, 2] == 0)
    found = values(absent)
    for name in ("precision", "recall", "f1", "auroc", "average_precision"):
        assert reasons(absent)[name, "2"] == "no 2 case in this set"
        assert_allclose(found[name, "macro"], (found[name, "0"] + found[name, "1"]) / 2)
        said = next(one.reason for one in score(absent, [name]) if one.row == "macro")
        assert said == "without 2 (no case)"
    assert not math.isnan(found["specificity", "2"])


def test_constant_predictions_have_defined_scores() -> None:
    truth = np.eye(2)[(np.arange(40) % 4 == 0).astype(int)]
    constant = cases(truth, np.full((40, 2), [0.9, 0.1]), task="binary")
    found = values(constant)
    assert found["auroc", "1"] == 0.5
    assert found["recall", "1"] == found["precision", "1"] == found["f1", "1"] == found["mcc", "overall"] == 0
    said = {(one.metric, one.row): one.reason for one in score(constant)}
    assert said["precision", "1"] == "never decided for: precision counted as 0"
    assert said["mcc", "overall"] == "decisions or truth are constant: 0 by convention"


def test_predictions_that_are_no_numbers_are_never_passed_over() -> None:
    given = simulated("binary", n=50)
    p = given.probabilities.copy()
    p[:3] = np.nan
    broken = cases(given.y_true, p, task="binary")
    assert all(math.isnan(one.value) and one.reason for one in score(broken))
    assert reasons(broken)["auroc", "1"] == "3 of 50 predictions are no numbers"
    labels = simulated("multilabel", n=100)
    p = labels.probabilities.copy()
    p[0, 1] = np.nan
    found = values(cases(labels.y_true, p, task="multilabel"))
    assert math.isnan(found["f1", "1"])
    assert math.isnan(found["f1", "macro"])
    assert not math.isnan(found["f1", "0"])


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("n", [0, 1])
def test_one_row_or_none_gives_numbers_or_reasons(task: Task, n: int) -> None:
    given = simulated(task).take(np.arange(n))
    for one in score(given):
        assert not math.isnan(one.value) or one.reason
    assert all(one.n == n for one in counts(given))
    if task != "multilabel":
        assert math.isnan(values(given)["accuracy", "overall"]) == (n == 0)


@pytest.mark.parametrize(
    ("truth", "p", "task", "classes", "message"),
    [
        ([[1, 0]], [[0.5, 0.5, 0]], "binary", None, "do not fit"),
        ([[1, 0]], [[0.5, 0.5]], "binary", ["a"], "do not fit"),
        ([[1, 1]], [[0.5, 0.5]], "binary", None, "exactly one class"),
        ([[1, -1]], [[0.5, 0.5]], "multilabel", None, "1, 0 or NaN"),
        ([[1, 0]], [[0.5, 0.5]], "binary", ["macro", "b"], "must not be"),
        ([[1, 0]], [[0.5, 0.5]], "binary", ["a", "a"], "must differ"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    truth: list[list[float]], p: list[list[float]], task: Task, classes: list[str] | None, message: str
) -> None:
    with pytest.raises(BadData, match=message):
        cases(truth, p, task=task, classes=classes)
