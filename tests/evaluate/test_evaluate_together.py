"""Seeds read together: the mean of their logits, scored as one reader and kept apart from the single trainings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from secondread.core.errors import BadData
from secondread.core.files import read_json
from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.core.tables import read_table
from secondread.core.trials import Trial, trials
from secondread.evaluate.checklist import checklist
from secondread.evaluate.lookup import Lookup
from secondread.evaluate.predictions import read_evidence
from secondread.evaluate.record import read_record
from secondread.evaluate.report import write_report
from secondread.evaluate.result_tables import together
from secondread.evaluate.results import Results, results
from secondread.export.scored import own_scores
from secondread.models.chosen import point_of, point_together

Simulate = Callable[..., tuple[Study, StudyDir]]


def judged(study: Study, where: StudyDir) -> Results:
    return results(read_evidence(study, where), study, where)


def mean_of(where: StudyDir, own: list[Trial], split: str) -> pd.DataFrame:
    """Logits averaged over the trials, by row."""
    table = pd.concat([read_table(where.predictions(trial.name)) for trial in own])
    columns = ["logit_normal", "logit_covid", "y_normal", "y_covid"]
    return table[table["split"] == split].groupby("row_id")[columns].mean()


def value(scores: pd.DataFrame, split: str, metric: str, **key: int) -> float:
    own = scores[
        (scores["split"] == split) & (scores["metric"] == metric) & (scores["class"].isin(["covid", "overall"]))
    ]
    for name, wanted in key.items():
        own = own[own[name] == wanted]
    assert len(own) == 1
    return float(own["value"].iloc[0])


ALL = {"repeat": -1, "fold": -1, "seed": -1}


def test_the_mean_of_the_logits_is_scored_at_its_own_threshold(simulate: Simulate) -> None:
    study, where = simulate(rows=300, seeds=(0, 1, 4), images=False)
    found = judged(study, where)
    found.write()
    own = list(trials(study, where))
    point = point_together(where, own)
    assert point is not None
    assert point.thresholds != point_of(where, own[0]).thresholds
    with pytest.raises(BadData, match=r"seeds 0\+1\+4 read together, not 0\+1: run `secondread evaluate` again"):
        point_together(where, own[:2])
    for split in ("val", "test"):
        mean = mean_of(where, own, split)
        truth, spread = mean["y_covid"], mean["logit_covid"] - mean["logit_normal"]
        decided = point.decide(point.probabilities(mean[["logit_normal", "logit_covid"]].to_numpy()))[:, 1]
        for key in (ALL, {"repeat": 0, "fold": 0, "seed": -1}):
            assert value(found.scores, f"together: {split}", "auroc", **key) == pytest.approx(
                roc_auc_score(truth, spread)
            )
            assert value(found.scores, f"together: {split}", "accuracy", **key) == pytest.approx(
                accuracy_score(truth, decided)
            )


def test_folds_are_joined_and_ranked_within_each(simulate: Simulate) -> None:
    study, where = simulate(rows=300, seeds=(0, 1), folds=3, images=False)
    found = judged(study, where)
    by_fold = []
    for fold in range(3):
        mean = mean_of(where, [trial for trial in trials(study, where) if trial.fold == fold], "test")
        auroc = roc_auc_score(mean["y_covid"], mean["logit_covid"] - mean["logit_normal"])
        pairs = mean["y_covid"].sum() * (1 - mean["y_covid"]).sum()
        by_fold.append((auroc, pairs))
        assert value(found.scores, "together: test", "auroc", repeat=0, fold=fold, seed=-1) == pytest.approx(auroc)
    areas, weights = np.array(by_fold).T
    assert value(found.scores, "together: test", "auroc", **ALL) == pytest.approx(np.average(areas, weights=weights))


def test_single_trainings_keep_their_scores_and_the_bundle_gets_those_of_the_answer_together(
    simulate: Simulate,
) -> None:
    study, where = simulate(rows=200, seeds=(0, 1), images=False)
    found = judged(study, where)
    found.write()
    own = list(trials(study, where))
    single = [value(found.scores, "test", "auroc", repeat=0, fold=0, seed=seed) for seed in (0, 1)]
    assert value(found.scores, "test", "auroc", **ALL) == pytest.approx(np.mean(single))

    def on_card(wanted: list[Trial]) -> float:
        told = ("test", "auroc", "covid")
        rows = [row for row in own_scores(where, wanted) if (row["split"], row["metric"], row["class"]) == told]
        assert len(rows) == 1
        return float(rows[0]["value"])

    assert on_card(own) == pytest.approx(value(found.scores, "together: test", "auroc", **ALL))
    assert on_card(own[:1]) == pytest.approx(single[0])


def test_nothing_is_read_together_of_one_seed_or_of_other_rows(simulate: Simulate) -> None:
    study, where = simulate(rows=120, images=False)
    assert judged(study, where).together == []
    study, where = simulate(rows=120, seeds=(0, 1), images=False)
    path = where.predictions("imbalanced/resnet18/r0f0s1")
    read_table(path).iloc[1:].to_parquet(path)
    assert judged(study, where).together == []


def test_the_report_shows_them_beside_the_single_trainings(simulate: Simulate) -> None:
    study, where = simulate(rows=160, seeds=(0, 1), skill={"plain": 1.2, "other": 1.8})
    judged(study, where).write()
    write_report(study, where)
    record = read_record(study, where)
    shown: Any = together(record)
    assert [str(row[0].text) for row in shown.rows] == ["plain", "other"]
    interval = Lookup.of(record).interval("other", "resnet18", "together: test", "auroc")
    assert interval is not None
    assert shown.rows[1][3] == interval
    assert "All seeds read together" in where.report.read_text()
    assert set(read_json(where.operating("plain", "resnet18"))) == {"r0f0s0", "r0f0s1", "r0f0s0+1"}


@pytest.mark.parametrize(("seeds", "told"), [((0, 1), "mean over 2 seeds"), ((0,), "none")])
def test_the_checklist_names_the_seeds_that_are_here(simulate: Simulate, seeds: tuple[int, ...], told: str) -> None:
    """`--only` may leave one of several that the study file asks an ensemble of."""
    study, where = simulate(rows=60, seeds=seeds, images=False)
    judged(study, where).write()
    asked = parse_study(as_yaml(study) | {"export": {"ensemble": True}})
    items = {str(row[0]): str(row[3]) for row in checklist(read_record(asked, where)).rows}
    assert items["Ensembling"] == told
