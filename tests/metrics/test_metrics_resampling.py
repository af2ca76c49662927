"""The shared bootstrap: one vectorised pass against a loop over resampled rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import metrics as sk

from secondread.core.errors import BadData
from secondread.core.tables import Task
from secondread.metrics import resampling as module
from secondread.metrics.cases import Cases, cases
from secondread.metrics.ranks import running_sums
from secondread.metrics.resampling import leave_outs, replicates, replicates_of, resampling
from secondread.metrics.scores import expected_cost, score
from secondread.metrics.tally import Tally


def simulated(task: Task, n: int = 150, seed: int = 0) -> tuple[np.ndarray, Cases]:
    rng = np.random.default_rng(seed)
    k = {"binary": 2, "multiclass": 3, "multilabel": 4}[task]
    truth = np.eye(k)[np.arange(n) % k] if task != "multilabel" else (rng.random((n, k)) < 0.4).astype(float)
    p = (rng.random((n, k)) + truth).round(1) + 0.05
    p = p / 2.1 if task == "multilabel" else p / p.sum(axis=1, keepdims=True)
    return rng.integers(0, n // 3, n), cases(truth, p, task=task)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_a_replicate_is_the_score_of_the_repeated_rows(task: Task) -> None:
    patients, given = simulated(task)
    drawn = resampling(patients, given.y_true, replicates=70, seed=3)
    made = replicates(given, drawn)
    for b in (0, 41, 69):
        again = given.take(np.repeat(np.arange(given.n), drawn.drawn[drawn.patient_of_row, b]))
        for one in score(again):
            if one.metric != "ece":  # its bins stay those of the sample
                assert_allclose(
                    made.of(one.metric, one.row)[b], one.value, atol=2e-6, err_msg=f"{one.metric} {one.row}"
                )


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_one_row_alone_is_that_row_of_all(task: Task) -> None:
    patients, given = simulated(task)
    drawn = resampling(patients, given.y_true, replicates=20)
    names = ["auroc", "average_precision", "f1"]
    every, alone = replicates(given, drawn, names), replicates(given, drawn, names, "1")
    assert alone.rows == tuple((name, "1") for name in names)
    for name in names:
        assert_array_equal(alone.of(name, "1"), every.of(name, "1"))
    assert replicates(given, drawn, names, "macro").rows == every.rows


def test_replicates_equal_a_scikit_learn_loop() -> None:
    patients, given = simulated("binary")
    drawn = resampling(patients, given.y_true, replicates=25)
    made = replicates(given, drawn, ["auroc", "average_precision", "f1", "brier"])
    for b in range(25):
        w = drawn.drawn[drawn.patient_of_row, b].astype(float)
        truth, p = given.truth[:, 1], given.probabilities[:, 1]
        assert_allclose(made.of("auroc", "1")[b], sk.roc_auc_score(truth, p, sample_weight=w), atol=1e-6)
        expected = sk.average_precision_score(truth, p, sample_weight=w)
        assert_allclose(made.of("average_precision", "1")[b], expected, atol=1e-6)
        assert_allclose(made.of("f1", "1")[b], sk.f1_score(truth, given.decided[:, 1], sample_weight=w), atol=1e-6)
        assert_allclose(made.of("brier", "overall")[b], sk.brier_score_loss(truth, p, sample_weight=w), atol=1e-6)


def test_patients_stay_whole_and_strata_keep_their_size() -> None:
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), rng.integers(1, 4, 60))
    sick = patients < 12
    drawn = resampling(patients, np.stack([~sick, sick], 1), replicates=200)
    assert drawn.clustered
    ill = np.unique(drawn.patient_of_row[sick])
    assert (drawn.drawn[ill].sum(axis=0) == 12).all()
    assert (np.delete(drawn.drawn, ill, axis=0).sum(axis=0) == 48).all()
    weights = np.concatenate([w for _, w in drawn.blocks()], axis=1)
    for patient in range(60):
        of_patient = weights[patients == patient]
        assert (of_patient == of_patient[0]).all()
    assert_allclose(weights, drawn.drawn[drawn.patient_of_row])
    assert_allclose(drawn.drawn.mean(), 1)
    assert abs(drawn.drawn.var() - 1) < 0.05  # nearly Poisson


def test_without_patients_every_row_is_its_own() -> None:
    truth = np.eye(2)[np.arange(30) % 2]
    assert not resampling(None, truth, replicates=5).clustered
    mixed = resampling(["a", "a", None, None, float("nan")] + ["b"] * 25, truth, replicates=5)
    assert mixed.patients == 5


def test_same_seed_same_draws_and_blocks_do_not_change_them(monkeypatch: pytest.MonkeyPatch) -> None:
    patients, given = simulated("multiclass")
    first = replicates(given, resampling(patients, given.y_true, replicates=90, seed=1))
    monkeypatch.setattr(module, "BLOCK_ENTRIES", 1)
    second = replicates(given, resampling(patients, given.y_true, replicates=90, seed=1))
    other = replicates(given, resampling(patients, given.y_true, replicates=90, seed=2))
    assert_allclose(first.values, second.values, atol=1e-6)
    assert not np.allclose(first.values, other.values)


def test_rare_strata_are_joined_so_that_every_patient_can_vary() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 14)) < 0.15).astype(float)
    drawn = resampling(None, labels, replicates=300)
    assert (drawn.drawn.std(axis=1) > 0).all()
    single = np.eye(3)[[0] * 20 + [1] * 20 + [2]]
    assert (resampling(None, single, replicates=300).drawn.std(axis=1) > 0).all()


def test_leaving_patients_out_one_by_one_is_the_jack_knife() -> None:
    patients, given = simulated("binary", n=90)
    drawn = resampling(patients, given.y_true, replicates=4)
    made = leave_outs(given, drawn, ["accuracy"]).of("accuracy", "overall")
    right = (given.truth == given.decided).all(axis=1)
    expected = [right[drawn.patient_of_row != patient].mean() for patient in range(drawn.patients)]
    assert_allclose(np.sort(made), np.sort(expected), atol=1e-12)


def test_few_are_left_out_at_once_where_many_labels_are_ranked_together(monkeypatch: pytest.MonkeyPatch) -> None:
    patients, given = simulated("multilabel")
    drawn = resampling(patients, given.y_true, replicates=4)
    together = leave_outs(given, drawn)
    monkeypatch.setattr(module, "LEFT_OUT_ENTRIES", 16 * given.n * len(given.classes))
    widths: list[int] = []
    monkeypatch.setattr(module, "Tally", lambda *told: (widths.append(told[1].shape[1]), Tally(*told))[1])
    apart = leave_outs(given, drawn)
    assert sum(widths) == drawn.patients
    assert max(widths) == 16
    assert_allclose(apart.values, together.values, atol=1e-12)


def test_any_statistic_can_be_replicated() -> None:
    patients, given = simulated("multiclass")
    drawn = resampling(patients, given.y_true, replicates=40)

    def cost(counted: Tally) -> dict[tuple[str, str], np.ndarray]:
        return {("cost", "overall"): expected_cost(counted, 1 - np.eye(3))}

    made = replicates_of(given, drawn.blocks(), cost).of("cost", "overall")
    assert_allclose(made, 1 - replicates(given, drawn, ["accuracy"]).of("accuracy", "overall"), atol=1e-6)


def test_running_sums_equal_cumsum() -> None:
    for n in (0, 1, 63, 64, 65, 300):
        weights = np.random.default_rng(n).random((n, 3))
        assert_allclose(running_sums(weights), np.vstack([np.zeros(3), np.cumsum(weights, axis=0)]), atol=1e-12)


def test_bad_requests_are_refused() -> None:
    patients, given = simulated("binary")
    with pytest.raises(BadData, match="3 patients for 150 rows"):
        resampling(["a", "b", "c"], given.y_true)
    with pytest.raises(BadData, match="at least one row"):
        resampling(None, np.zeros((0, 2)))
    with pytest.raises(BadData, match="150 rows"):
        replicates(given.take(np.arange(5)), resampling(patients, given.y_true, replicates=2))
