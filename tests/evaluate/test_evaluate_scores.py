"""From prediction tables to scores: against scikit-learn, chosen on validation, pooled honestly."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, roc_auc_score

from secondread.core.errors import BadData, Leak, WrongRequest
from secondread.core.leakage import write_contents
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import CLEAN_COLUMNS, PREDICTION_COLUMNS, ROW_COLUMNS, read_table, write_table
from secondread.evaluate import run as face
from secondread.evaluate.draws import Draws
from secondread.evaluate.predictions import Part, read_evidence
from secondread.evaluate.record import read_record
from secondread.evaluate.results import Results, results
from secondread.evaluate.traces import Traces
from secondread.metrics.calibration import OperatingPoint
from secondread.metrics.cases import cases
from secondread.metrics.scores import score
from secondread.models.chosen import chosen, picked

Simulate = Callable[..., tuple[Study, StudyDir]]
THREE = {
    "classes": ("Normal", "Viral", "Covid"), "task": "multiclass", "shares": (0.6, 0.15, 0.25), "rows": 300,
    "per_patient": 2,
}  # fmt: skip


def judged(study: Study, where: StudyDir) -> Results:
    return results(read_evidence(study, where), study, where)


def one(scores: pd.DataFrame, **wanted: Any) -> pd.Series:
    found = scores
    for name, value in wanted.items():
        found = found[found[name.rstrip("_")] == value]
    assert len(found) == 1, f"{wanted}: {len(found)} rows"
    return found.iloc[0]


def change(where: StudyDir, how: Callable[[pd.DataFrame], pd.DataFrame], only: str = "") -> None:
    for path in sorted((where.root / "predict").rglob("*.parquet")):
        if only in str(path):
            write_table(how(read_table(path)), path, PREDICTION_COLUMNS)


def test_scores_equal_scikit_learn(simulate: Simulate) -> None:
    study, where = simulate(**THREE, evaluate={"threshold": {"name": "argmax"}})
    found = judged(study, where)
    table = read_table(where.predictions("imbalanced/resnet18/r0f0s0"))
    test = table[table["split"] == "test"].sort_values("row_id")
    logits, truth = (test[[f"{p}_{c}" for c in THREE["classes"]]].to_numpy(dtype=float) for p in ("logit", "y"))
    scaled = logits / found.judged[0].point.temperature
    chances = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    who = {"arm": "imbalanced", "repeat": 0, "split": "test"}
    auroc = roc_auc_score(truth, chances, average=None)
    for k, name in enumerate(THREE["classes"]):
        assert one(found.scores, **who, class_=name, metric="auroc")["value"] == pytest.approx(auroc[k], abs=1e-9)
    decided = chances.argmax(axis=1)
    expected = f1_score(truth.argmax(axis=1), decided, average="macro")
    assert one(found.scores, **who, class_="macro", metric="f1")["value"] == pytest.approx(expected, abs=1e-9)
    matrix = confusion_matrix(truth.argmax(axis=1), decided)
    for k, name in enumerate(THREE["classes"]):
        counts = {
            m: one(found.scores, **who, class_=name, metric=m)["value"] for m in ("tp", "fp", "fn", "tn", "unread")
        }
        assert counts["tp"] == matrix[k, k]
        assert counts["fp"] == matrix[:, k].sum() - matrix[k, k]
        assert sum(counts.values()) == len(test)


def test_every_interval_holds_its_value(simulate: Simulate) -> None:
    study, where = simulate(**THREE, seeds=(0, 1))
    scores = judged(study, where).scores
    bounded = scores[scores["low"].notna() & scores["high"].notna()]
    assert {"ece", "auroc", "f1", "brier", "ppv@0.1"} <= set(bounded["metric"])
    wrong = bounded[(bounded["value"] < bounded["low"] - 1e-12) | (bounded["value"] > bounded["high"] + 1e-12)]
    assert wrong.empty, wrong.to_string()


def test_trainings_without_an_error_have_intervals(simulate: Simulate) -> None:
    """The mean of three perfect trainings says no more of new patients than one of them."""
    costly = {"threshold": {"name": "cost", "cost": [[0, 1], [5, 0]]}}
    skill = {"imbalanced": 1.0, "treated": 1.0, "other": 1.0}
    study, where = simulate(rows=120, seeds=(0, 1, 2), images=False, evaluate=costly, skill=skill)
    change(where, lambda table: table.assign(logit_covid=np.float32(8) * (table["y_covid"] - np.float32(0.5)),
                                             logit_normal=np.float32(0)))  # fmt: skip
    made = judged(study, where)
    found = made.scores
    who = {"arm": "imbalanced", "repeat": -1, "split": "test", "class_": "covid"}
    positives = int(found.query("metric == 'positives' and `class` == 'covid' and split == 'test'")["value"].iloc[0])
    sensitivity = one(found, **who, metric="recall")
    assert sensitivity["value"] == sensitivity["high"] == 1.0
    assert sensitivity["low"] == pytest.approx(binomtest(positives, positives).proportion_ci().low)
    assert one(found, **who, metric="fnr")["high"] == pytest.approx(1 - sensitivity["low"])
    assert one(found, **who, metric="ppv@0.01")["low"] < 0.2  # where one in a hundred is ill, a false alarm weighs
    assert sensitivity["method"].startswith("mean of 3 trainings; exact bound")
    cost = one(found, arm="imbalanced", repeat=-1, split="test", metric="expected_cost")
    assert cost["low"] == cost["value"] == 0.0
    assert cost["high"] == pytest.approx(5 * (1 - binomtest(60, 60).proportion_ci().low))  # 60 test images
    apart = made.comparisons.query("metric == 'auroc' and arm == 'treated' and model == 'resnet18'")
    assert len(apart) == 2  # the main comparison, and its simultaneous interval
    assert (apart["high"] == -apart["low"]).all()
    assert apart["low"].to_numpy() == pytest.approx(sensitivity["low"] - 1, abs=0.02)  # the other class has 28
    assert apart["mde"].isna().all()


def test_what_two_arms_share_is_compared_under_the_same_draws(simulate: Simulate) -> None:
    """Two arms of the same answers, of which one lacks the second repeat of a split in two: they differ in nothing."""
    study, where = simulate(rows=240, repeats=2, per_patient=2, skill={"one": 1.0, "two": 1.0}, images=False,
                            evaluate={"bootstrap": 40, "metrics": ["log_loss"]})  # fmt: skip
    table = read_table(where.predictions("one/resnet18/r0f0s0")).assign(arm="two")
    write_table(table, where.predictions("two/resnet18/r0f0s0"), PREDICTION_COLUMNS)
    where.predictions("two/resnet18/r1f0s0").unlink()
    found = judged(study, where).comparisons.query("metric == 'log_loss' and arm == 'two'").iloc[0]
    assert found["method"] == "paired bootstrap"
    assert [found["low"], found["difference"], found["high"]] == [0.0, 0.0, 0.0]


def test_rows_that_are_called_alike_are_drawn_apart() -> None:
    """Two external sets of files 0 … 11, of which one has two images a patient, and the other other classes."""
    ids, alone = np.array([str(i) for i in range(12)], dtype=object), np.array([None] * 12, dtype=object)
    pairs, labels = np.array([f"P{i // 2}" for i in range(12)], dtype=object), np.eye(2)[np.arange(12) % 2]
    draws = Draws(20, 0, ())
    first = draws.of(Part(ids, alone, labels, labels))
    assert draws.of(Part(ids, alone, labels, -labels)) is first  # another trial's logits
    assert draws.of(Part(ids, pairs, labels, labels)).patients == 6
    other = draws.of(Part(ids, alone, np.eye(2)[np.arange(12) // 6], labels))
    assert (other.drawn[other.patient_of_row][:6].sum(axis=0) == 6).all()  # of each class as many as there are


def test_folds_are_joined_before_calibration_as_after_it(simulate: Simulate) -> None:
    """The calibration error of a fifth of the cases is larger than that of all, and calibration looked like a cure."""
    study, where = simulate(rows=300, folds=5, images=False, evaluate={"bootstrap": 20})
    found = judged(study, where).scores
    tables = [read_table(where.predictions(f"imbalanced/resnet18/r0f{fold}s0")) for fold in range(5)]
    table = pd.concat(tables).query("split == 'test'").sort_values("row_id")
    logits, truth = (table[[f"{p}_{c}" for c in ("normal", "covid")]].to_numpy(dtype=float) for p in ("logit", "y"))
    joined = {
        s.metric: s.value for s in score(cases(truth, softmax(logits, axis=1), task="binary")) if s.row == "overall"
    }
    for metric in ("ece", "brier", "log_loss"):
        row = one(found, arm="imbalanced", repeat=-1, split="test", class_="overall", metric=f"{metric}_uncalibrated")
        assert row["value"] == pytest.approx(joined[metric], abs=1e-9)
        assert row["n"] == 300


def test_intervals_of_hopeless_trainings_hold_their_values_and_stay_possible(simulate: Simulate) -> None:
    study, where = simulate(classes=("a", "b", "c"), task="multiclass", shares=(1, 1, 1), rows=60, images=False,
                            skill={"wrong": -4.0}, seeds=(0, 1))  # fmt: skip
    found = judged(study, where).scores.dropna(subset=["low"])
    brier = found.query("metric == 'brier' and `class` == 'overall' and split == 'test'")
    assert (brier["value"] > 1).all()  # summed over three classes it goes up to two
    assert (brier["high"] >= brier["value"]).all()
    assert len(brier) == 3
    ece = found.query("metric == 'ece'")
    assert ece["high"].max() <= 1.0
    assert (ece["value"] > 0.6).any()


def test_the_trial_is_picked_on_validation_and_never_on_test(simulate: Simulate) -> None:
    study, where = simulate(skill={"weak": 0.8, "strong": 2.2}, rows=300, images=False)

    def swap_splits_of_strong(table: pd.DataFrame) -> pd.DataFrame:
        """On test the weak arm now looks far better: its test predictions are the truth."""
        test = table["split"] == "test"
        table.loc[test, "logit_covid"] = np.float32(9) * table.loc[test, "y_covid"]
        return table

    change(where, swap_splits_of_strong, only="weak")
    found = judged(study, where)
    test = {
        arm: one(found.scores, arm=arm, repeat=-1, split="test", class_="covid", metric="auroc") for arm in study.arms
    }
    assert test["weak"]["value"] == 1.0
    assert found.picked["arm"] == "strong"


@pytest.mark.parametrize(("metric", "task"), [("specificity", "binary"), ("hamming", "multilabel")])
def test_what_stands_for_a_recipe_is_the_trial_that_was_picked(simulate: Simulate, metric: str, task: str) -> None:
    names = ("normal", "covid") if task == "binary" else ("Edema", "Effusion", "Mass")
    study, where = simulate(classes=names, task=task, shares=(0.4,) * len(names), rows=120, seeds=(0, 1, 2, 3),
                            evaluate={"primary": metric, "bootstrap": 5}, images=False)  # fmt: skip
    face.score(study, where)
    assert [one.trial.name for one in chosen(study, where, "all")] == [picked(study, where).trial.name]


def test_arms_called_by_numbers_stay_names(simulate: Simulate) -> None:
    study, where = simulate(rows=80, skill={"64": 1.0, "128": 2.0}, images=False, evaluate={"bootstrap": 5})
    face.score(study, where)
    found = read_record(study, where).comparisons
    assert set(found["arm"]) == {"128"}
    assert set(found["baseline"]) == {"64"}


def test_test_labels_do_not_move_the_operating_point(simulate: Simulate) -> None:
    study, where = simulate(rows=300, images=False)
    before = judged(study, where).judged[0].point

    def turn_test_labels(table: pd.DataFrame) -> pd.DataFrame:
        test = table["split"] == "test"
        table.loc[test, ["y_normal", "y_covid"]] = 1 - table.loc[test, ["y_normal", "y_covid"]]
        return table

    change(where, turn_test_labels)
    assert judged(study, where).judged[0].point == before


def test_folds_are_joined_and_seeds_averaged(simulate: Simulate) -> None:
    study, where = simulate(folds=4, seeds=(0, 1), rows=160, skill={"a": 1.4, "b": 1.6}, images=False)
    found = judged(study, where)
    pool = found.pools["a", "resnet18", "test"]
    assert [member.key for member in pool.members] == [(0, -1, 0), (0, -1, 1)]
    assert all(member.rows.n == 160 for member in pool.members)
    own = one(found.scores, arm="a", repeat=-1, split="test", class_="covid", metric="auroc")
    assert own["value"] == pytest.approx(pool.values("auroc", "covid").mean())
    assert own["low"] < own["value"] < own["high"]
    assert one(found.scores, arm="a", split="test", class_="covid", metric="auroc_sd")["value"] == pytest.approx(
        pool.values("auroc", "covid").std(ddof=1)
    )
    compared = found.comparisons
    assert (compared["method"].str.contains("2 trainings") & (compared["metric"] == "auroc")).any()


def test_what_a_served_bundle_would_call_uncertain_is_scored_apart(simulate: Simulate) -> None:
    study, where = simulate(rows=600, skill={"a": 1.5}, evaluate={"threshold": {"name": "youden"}}, images=False)
    found = judged(study, where)
    (trial,) = found.judged
    doubtful = trial.point.is_uncertain(trial.test.probabilities).any(axis=1)
    assert 0.01 < doubtful.mean() < 0.15
    for part, inside in (("called uncertain", doubtful), ("decided on", ~doubtful)):
        own = one(found.scores, split=f"band: {part}", metric="accuracy")
        right = (trial.test.decided == trial.test.truth).all(axis=1)[inside]
        assert (own["n"], own["value"]) == (inside.sum(), pytest.approx(right.mean()))
        assert own["low"] <= own["value"] <= own["high"]


def test_a_fold_that_scores_on_another_scale_changes_no_auroc_and_no_curve(simulate: Simulate) -> None:
    """The folds of one recipe are different trainings: whose logits lie higher tells nothing of a case."""
    study, where = simulate(folds=2, rows=160, skill={"a": 1.4, "b": 1.6}, images=False)

    def shift(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[table["split"] == "test", "logit_covid"] += 3.0
        return table

    def looked() -> tuple[pd.DataFrame, pd.DataFrame]:
        judged(study, where).write()
        record = read_record(study, where)
        scores = record.scores
        ranked = scores[(scores["split"] == "test") & scores["metric"].isin(["auroc", "average_precision"])]
        ranked = ranked[ranked["class"] != "micro"]  # compares the classes of one training with each other
        return ranked.drop(columns="method").reset_index(drop=True), Traces(record).by_model("roc")

    scores, curves = looked()
    change(where, shift, only="r0f1s0")
    moved, moved_curves = looked()
    pd.testing.assert_frame_equal(moved, scores)
    pd.testing.assert_frame_equal(moved_curves, curves)
    joined = one(scores, arm="a", repeat=-1, class_="covid", metric="auroc")["value"]
    assert curves[curves["line"] == "a"]["y"].mean() == pytest.approx(joined, abs=0.02)


def test_repeats_with_other_test_rows_share_their_patients(simulate: Simulate) -> None:
    study, where = simulate(folds=2, repeats=3, rows=80, per_patient=2, skill={"a": 1.4, "b": 1.5}, images=False)
    found = judged(study, where)
    assert [member.key for member in found.pools["a", "resnet18", "test"].members] == [(r, -1, 0) for r in range(3)]
    nadeau = found.comparisons[found.comparisons["method"] == "Nadeau-Bengio t"]
    assert len(nadeau) == 1
    assert nadeau["p"].between(0, 1).all()


def test_two_seeds_of_one_recipe_are_not_told_apart(
    simulated_in: Callable[..., Any], simulated: Any, tmp_path: Path
) -> None:
    """The verdict of the whole road, not of one function: twelve nulls, at most two claims."""
    claims = 0
    for seed in range(12):
        known = simulated(
            skill={"a": 1.5, "b": 1.5}, rows=200, seed=seed, images=False, evaluate={"metrics": ["auroc"]}
        )
        study, where = simulated_in(tmp_path / str(seed), known)
        compared = judged(study, where).comparisons
        claims += int(compared["verdict"].isin(["better", "worse"]).any())
    assert claims <= 2


def test_a_true_difference_is_found_and_has_a_direction(simulate: Simulate) -> None:
    study, where = simulate(skill={"plain": 0.7, "strong": 2.6}, rows=400, images=False)
    compared = judged(study, where).comparisons.set_index("metric")
    main = compared[compared["method"] == "paired DeLong"]
    assert main.loc["auroc", "verdict"] == "better"
    assert compared.loc["log_loss", "verdict"] == "better"  # lower is better
    assert compared.loc["log_loss", "difference"] < 0


def test_arms_that_are_about_another_model_are_compared_all_the_same(simulate: Simulate) -> None:
    study, where = simulate(skill={"codes": 0.7, "pixels": 2.6}, models=("resnet18", "vgg16"), rows=400, images=False)
    for name in ("codes/vgg16", "pixels/resnet18"):
        where.predictions(f"{name}/r0f0s0").unlink()
    compared = judged(study, where).comparisons
    main = compared[(compared["metric"] == "auroc") & (compared["arm"] == "pixels")]
    assert list(main["verdict"]) == ["better"]
    assert main["method"].item().endswith("; vgg16 here, resnet18 in codes")


def test_a_subgroup_is_scored_on_its_own_rows(simulate: Simulate) -> None:
    study, where = simulate(rows=400, evaluate={"left_out": True}, images=False)
    found = judged(study, where)
    rows = read_table(where.clean_rows).set_index("row_id")
    test = found.evidence.trials[0].test.row_ids
    women = int((rows.loc[list(test), "sex"] == "F").sum())
    assert one(found.scores, split="test: sex = F", metric="auroc")["n"] == women
    splits = set(found.scores["split"])
    assert {"test: age = 65+", "test: view = PA", "test: site = north", "left out: site = south"} <= splits


def test_a_subgroup_column_may_hold_numbers_with_gaps_or_truth_values(simulate: Simulate) -> None:
    study, where = simulate(rows=300, evaluate={"subgroups": ["smoker", "paced"], "bootstrap": 20}, images=False)
    rows = read_table(where.clean_rows)
    smoker = np.where(np.arange(300) % 5 == 0, np.nan, np.arange(300) % 2)
    rows = rows.assign(x_smoker=smoker, x_paced=np.arange(300) % 3 == 0)
    write_table(rows, where.clean_rows, ROW_COLUMNS | CLEAN_COLUMNS)
    test = set(read_table(where.predictions("imbalanced/resnet18/r0f0s0")).query("split == 'test'")["row_id"])
    scores, inside = judged(study, where).scores, rows["row_id"].isin(test)
    for split, member in (("smoker = 1", smoker == 1), ("smoker = 0", smoker == 0), ("paced = True", rows["x_paced"])):
        found = one(scores, arm="imbalanced", split=f"test: {split}", metric="accuracy")
        assert found["n"] == (member & inside).sum()


def test_prevalence_changes_predictive_values_as_bayes_says(simulate: Simulate) -> None:
    study, where = simulate(rows=400, evaluate={"prevalences": [0.02]}, images=False)
    scores = judged(study, where).scores
    who = {"repeat": -1, "split": "test", "class_": "covid"}
    se, sp = (one(scores, **who, metric=m)["value"] for m in ("recall", "specificity"))
    expected = 0.02 * se / (0.02 * se + 0.98 * (1 - sp))
    assert one(scores, **who, metric="ppv@0.02")["value"] == pytest.approx(expected)


def test_an_external_set_is_read_at_the_frozen_point(simulate: Simulate) -> None:
    study, where = simulate(rows=300, images=False)
    written = study.model_dump(by_alias=True)
    written["gather"]["external"] = [{"name": "far", "source": "class_folders"}]
    study = Study.model_validate(written)
    table = read_table(where.predictions("imbalanced/resnet18/r0f0s0"))
    write_table(table.head(60), where.external_predictions("far", "imbalanced/resnet18/r0f0s0"), PREDICTION_COLUMNS)
    scores = judged(study, where).scores
    assert one(scores, split="external: far", metric="accuracy")["n"] == 60


def test_an_external_set_is_scored_over_all_trainings_of_a_recipe(simulate: Simulate) -> None:
    study, where = simulate(rows=300, seeds=(0, 1, 2), evaluate={"bootstrap": 50}, images=False)
    written = study.model_dump(by_alias=True)
    written["gather"]["external"] = [{"name": "far", "source": "class_folders"}]
    study = Study.model_validate(written)
    for seed in (0, 1, 2):
        name = f"imbalanced/resnet18/r0f0s{seed}"
        table = read_table(where.predictions(name)).query("split == 'test'")
        table = table.assign(logit_covid=table["logit_covid"] * (1, 1, -1)[seed])
        write_table(table, where.external_predictions("far", name), PREDICTION_COLUMNS)
    outside = judged(study, where).scores.query("split == 'external: far'")
    own = outside.query("metric == 'auroc' and repeat >= 0")
    together = one(outside, metric="auroc", repeat=-1)
    assert sorted(own["seed"]) == [0, 1, 2]
    assert together["value"] == pytest.approx(own["value"].mean())
    assert together["low"] < own["value"].mean() - own["value"].std() / 3**0.5
    assert "3 trainings" in together["method"]
    assert not outside.duplicated(["repeat", "fold", "seed", "metric"]).any()


def test_a_cost_matrix_gives_an_expected_cost(simulate: Simulate) -> None:
    cost = {"name": "cost", "cost": [[0, 1], [10, 0]]}
    study, where = simulate(rows=300, evaluate={"threshold": cost}, images=False)
    scores = judged(study, where).scores
    who = {"repeat": 0, "split": "test"}
    fp, fn = (one(scores, **who, class_="covid", metric=m)["value"] for m in ("fp", "fn"))
    assert one(scores, **who, metric="expected_cost")["value"] == pytest.approx((fp + 10 * fn) / 150)


def test_of_one_patient_not_even_the_cost_has_an_interval(simulate: Simulate) -> None:
    cost = {"name": "cost", "cost": [[0, 1], [10, 0]]}
    study, where = simulate(rows=40, per_patient=20, evaluate={"threshold": cost, "bootstrap": 20}, images=False)
    found = judged(study, where)
    assert len(set(found.judged[0].predicted.test.patients)) == 1
    costs = found.scores.query("metric == 'expected_cost' and split == 'test'")
    assert costs["value"].notna().all()
    assert costs["low"].isna().all()


def test_a_primary_metric_of_another_task_is_refused_in_a_line(simulate: Simulate) -> None:
    study, where = simulate(rows=80, evaluate={"primary": "exact_match"}, images=False)
    with pytest.raises(WrongRequest, match=r"evaluate.primary: 'exact_match' is no metric of a binary task.*auroc"):
        judged(study, where)


def test_a_trial_that_saw_a_test_row_is_refused(simulate: Simulate) -> None:
    study, where = simulate(rows=80, images=False)
    table = read_table(where.predictions("imbalanced/resnet18/r0f0s0"))
    seen = table.loc[table["split"] == "test", "content_id"].head(1)
    write_contents(where.trial("imbalanced/resnet18/r0f0s0") / "contents.json", seen)
    with pytest.raises(Leak, match="imbalanced/resnet18"):
        read_evidence(study, where)


def test_an_arm_balanced_before_the_split_is_marked_and_never_picked(simulate: Simulate) -> None:
    study, where = simulate(rows=300, skill={"honest": 1.0, "copied": 3.0}, images=False)
    written = study.model_dump(by_alias=True)
    written["prepare"]["allow_leakage"] = True
    written["arms"]["copied"]["balance"] = {"name": "oversample", "before_split": True}
    study = Study.model_validate(written)
    table = read_table(where.predictions("copied/resnet18/r0f0s0"))
    seen = table.loc[table["split"] == "test", "content_id"].head(9)
    write_contents(where.trial("copied/resnet18/r0f0s0") / "contents.json", seen)
    found = judged(study, where)
    assert found.picked["arm"] == "honest"
    marked = found.scores["method"].str.endswith("[LEAKY PROTOCOL]")
    assert set(found.scores.loc[marked, "arm"]) == {"copied"}
    assert found.comparisons["method"].str.endswith("[LEAKY PROTOCOL]").all()
    found.write()
    assert json.loads(where.summary.read_text())["banners"] == []


def test_missing_predictions_are_told(simulate: Simulate) -> None:
    study, where = simulate(rows=80, skill={"a": 1.0, "b": 1.0}, images=False)
    where.predictions("b/resnet18/r0f0s0").unlink()
    assert any("1 of 2 trials have no predictions" in note for note in read_evidence(study, where).notes)
    where.predictions("a/resnet18/r0f0s0").unlink()
    with pytest.raises(BadData, match="secondread predict"):
        read_evidence(study, where)


def test_the_files_are_those_of_the_architecture(simulate: Simulate, monkeypatch: pytest.MonkeyPatch) -> None:
    study, where = simulate(rows=120, skill={"a": 1.4, "b": 1.5}, images=False)
    judged(study, where).write()
    points = json.loads(where.operating("a", "resnet18").read_text())
    assert set(points) == {"r0f0s0"}
    assert OperatingPoint.from_dict(points["r0f0s0"]).classes == ("normal", "covid")
    summary = json.loads(where.summary.read_text())
    assert set(summary["picked"]) == {"arm", "model", "repeat", "fold", "seed", "metric", "value"}
    assert all(isinstance(summary[name], list) for name in ("banners", "verdicts", "sentences"))
    assert [unit.name for unit in face.units(study, where)] == ["scores", "report"]


def test_the_same_predictions_give_the_same_bytes(simulate: Simulate) -> None:
    study, where = simulate(rows=120, skill={"a": 1.4, "b": 1.5}, images=False)
    judged(study, where).write()
    first = where.scores.read_bytes(), where.comparisons.read_bytes(), where.summary.read_bytes()
    judged(study, where).write()
    assert (where.scores.read_bytes(), where.comparisons.read_bytes(), where.summary.read_bytes()) == first
