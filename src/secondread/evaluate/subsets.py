"""Scores on parts of the test rows (sex, age, view, site; certain or not), under a shift, on external sets, and at
other prevalences.

All of it is about the picked arm and model, and for subgroups also about the baseline with the same network: a grid of
every trial by every subgroup would mostly show chance.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.families import name_family
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import Dataset, read_table
from secondread.evaluate.draws import Draws, patients_in
from secondread.evaluate.operating import Judged, point_of, read_at
from secondread.evaluate.pooling import Key, Pool, pool
from secondread.evaluate.predictions import Part, part_of
from secondread.evaluate.scoring import ALL, Row, over_members, primary, rows_of, without_interval
from secondread.metrics.cases import Cases
from secondread.metrics.catalogue import METRICS
from secondread.metrics.defended import scores_with_intervals
from secondread.metrics.scores import Score
from secondread.metrics.usefulness import predictive_values

AGE_BANDS = ((0, 18, "0–17"), (18, 40, "18–39"), (40, 65, "40–64"), (65, 200, "65+"))
PREVALENCES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
ALSO = {"site": ("x_source",)}
"""Other columns that may say the same."""
MOST_GROUPS = 12
FEWEST = 10
Groups = list[tuple[str, NDArray[np.bool_]]]


@dataclass(frozen=True, eq=False)
class Subject:
    """Whose rows are looked at in parts: a trial, or its folds together."""

    arm: str
    model: str
    rows: Part
    cases: Cases


def subgroup_rows(chosen: Iterable[Subject], rows: pd.DataFrame, draws: Draws, study: Study) -> list[Row]:
    """Each subject on each subgroup of its test rows; split reads `test: sex = F`."""
    found: list[Row] = []
    for one in chosen:
        told = rows.reindex(one.rows.row_ids)
        for column in study.evaluate.subgroups:
            for value, member in groups_of(told, column):
                found += _part_rows(one, member, f"test: {column} = {value}", draws, study)
    return found


def left_out_rows(one: Judged, rows: pd.DataFrame, dataset: Dataset, draws: Draws, study: Study) -> list[Row]:
    """A shift proxy: each site (or family of file names) read at an operating point that never saw it.

    From predictions alone the network cannot be trained anew without the site; what can be left out is what calibration
    and thresholds learned from it on validation.
    """
    found: list[Row] = []
    column, of_val, of_test = _families(one, rows)
    for family in _kept(of_test):
        others = one.predicted.val.take(of_val != family)
        if others.n in (0, one.predicted.val.n):
            continue
        cases = read_at(one.predicted.test, point_of(one.predicted, others, dataset, study))
        subject = Subject(one.predicted.arm, one.predicted.model, one.predicted.test, cases)
        found += _part_rows(subject, of_test == family, f"left out: {column} = {family}", draws, study)
    return found


def band_rows(one: Judged, draws: Draws, study: Study) -> list[Row]:
    """The test rows that a served bundle would call uncertain, and those that it would decide on."""
    doubtful = np.asarray(one.point.is_uncertain(one.test.probabilities).any(axis=1))
    if not doubtful.any():
        return []
    subject = Subject(one.predicted.arm, one.predicted.model, one.predicted.test, one.test)
    parts = (("decided on", ~doubtful), ("called uncertain", doubtful))
    return [row for name, member in parts for row in _part_rows(subject, member, f"band: {name}", draws, study)]


def external_rows(judged: Iterable[Judged], where: StudyDir, draws: Draws, study: Study, notes: list[str]) -> list[Row]:
    """External sets, where the trials were asked to predict them; split reads `external: name`."""
    found: list[Row] = []
    for external in study.gather.external:
        outside: dict[tuple[str, str], list[Judged]] = {}
        for one in judged:
            path = where.external_predictions(external.name, one.predicted.trial.name)
            if path.exists():
                table, name = read_table(path).assign(split="test"), f"{one.predicted.trial.name} on {external.name}"
                part = part_of(table, "test", one.point.classes, name, notes)
                outside.setdefault(one.pair, []).append(Judged(replace(one.predicted, test=part), one.point))
        for of_pair in outside.values():
            found += _pooled_rows(pool(of_pair, "test", draws), f"external: {external.name}", draws, study)
    return found


def _pooled_rows(own: Pool, split: str, draws: Draws, study: Study) -> list[Row]:
    """Each training of a recipe on all rows of a set, then their mean; one training stands for itself."""
    alone = len(own.members) == 1
    found: list[Row] = []
    for member in own.members:
        subject = Subject(own.arm, own.model, member.rows, member.cases)
        every = np.ones(member.rows.n, dtype=bool)
        found += _part_rows(subject, every, split, draws, study, ALL if alone else member.key)
    if alone or not own.members:
        return found
    rows, cases = own.members[0].rows, own.members[0].cases
    scores = [one for one in over_members(own, study) if one.metric in _wanted(study)]
    return found + rows_of(_headlines(scores, rows, cases), own.arm, own.model, ALL, split)


def prevalence_rows(one: Judged, scores: list[Row], study: Study) -> list[Row]:
    """PPV and NPV of each decided class at deployment prevalences, from sensitivity and specificity on test."""
    trial = one.predicted.trial
    own = {
        (row["metric"], row["class"]): row
        for row in scores
        if (row["arm"], row["model"], row["split"]) == (trial.arm, trial.model.label, "test") and row["repeat"] == -1
    }
    classes = one.point.classes[1:] if one.point.task == "binary" else one.point.classes
    found: list[Score] = []
    for name in classes:
        pair = [own.get((metric, name)) for metric in ("recall", "specificity")]
        if any(row is None or not math.isfinite(row["low"]) for row in pair):
            continue
        sides = [(row["value"], row["low"], row["high"]) for row in pair if row is not None]
        for at in predictive_values(sides[0], sides[1], study.evaluate.prevalences or PREVALENCES):
            n = int(pair[0]["n"]) if pair[0] else 0
            method = "Bayes' rule on the intervals of sensitivity and specificity"
            found.append(Score(f"ppv@{at.prevalence:g}", name, at.ppv, at.ppv_low, at.ppv_high, n, method))
            found.append(Score(f"npv@{at.prevalence:g}", name, at.npv, at.npv_low, at.npv_high, n, method))
    return rows_of(found, trial.arm, trial.model.label, ALL, "test")


def groups_of(rows: pd.DataFrame, column: str) -> Groups:
    """The subgroups of a column: its values, or bands of age; none when the column says nothing or one thing only."""
    column = _said_in(rows, column)
    if not column:
        return []
    if column == "age":
        age = rows["age"].to_numpy(dtype=float)
        bands = [(name, (age >= low) & (age < high)) for low, high, name in AGE_BANDS]
        found = [(name, member) for name, member in bands if member.any()]
    else:
        said = np.array([_text(value) for value in rows[column]], dtype=object)
        found = [(value, said == value) for value in _kept(said)]
    return found if len(found) > 1 else []


def values_not_shown(rows: pd.DataFrame, column: str) -> int:
    """How many values of a column are left aside because others are more frequent."""
    column = _said_in(rows, column)
    values = 0 if column in ("", "age") else len({_text(value) for value in rows[column]} - {""})
    return max(0, values - MOST_GROUPS)


def _said_in(rows: pd.DataFrame, column: str) -> str:
    """The column of the rows that says it, empty where none does."""
    names = (column, f"x_{column}", *ALSO.get(column, ()))
    return next((name for name in names if name in rows and rows[name].notna().any()), "")


def _text(value: object) -> str:
    """A value of a column as it was written; a gap in a column of whole numbers made them floats."""
    if pd.isna(value):  # type: ignore[call-overload]
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _part_rows(
    one: Subject, member: NDArray[np.bool_], split: str, draws: Draws, study: Study, key: Key = ALL
) -> list[Row]:
    """The primary metric, sensitivity, specificity and accuracy of some rows, each by its headline."""
    inside = one.cases.take(member)
    if inside.n == 0:
        return []
    rows = one.rows.take(member)
    scores = scores_with_intervals(inside, draws.of(rows), _wanted(study), confidence=study.evaluate.confidence)
    return rows_of(_headlines(scores, rows, inside), one.arm, one.model, key, split)


def _wanted(study: Study) -> list[str]:
    return list(dict.fromkeys((primary(study), "recall", "specificity", "accuracy")))


def _headlines(scores: Iterable[Score], rows: Part, cases: Cases) -> list[Score]:
    kept = headlines(scores, cases)
    return [without_interval(one) for one in kept] if patients_in(rows) < 2 else kept


def headlines(scores: Iterable[Score], cases: Cases) -> list[Score]:
    """Of each metric the row that stands for it, as far as these cases can say anything of it."""
    kept = [one for one in scores if METRICS[one.metric].headline(cases.task, cases.classes) == one.row]
    return [_unless_few(one, cases) for one in kept]


def _unless_few(score: Score, cases: Cases) -> Score:
    """No number where the class has fewer than ten cases on a side: the count is all that can be said.

    A mean over labels leaves the rare ones out itself, and says so.
    """
    of_labels = score.row not in cases.classes and not cases.exclusive
    if score.metric == "accuracy" or of_labels or min(_sides(score, cases)) >= FEWEST:
        return score
    return Score(score.metric, score.row, math.nan, n=score.n, reason=f"fewer than {FEWEST} cases on a side")


def _sides(score: Score, cases: Cases) -> list[int]:
    """Cases with and without the class, or with and without each class of a mean, as far as the score rests on them."""
    k = cases.column(score.row)
    if k is None:
        return [*cases.positives, *cases.negatives]
    present, absent = cases.positives[k], cases.negatives[k]
    return {"recall": [present], "specificity": [absent]}.get(score.metric, [present, absent])


def _families(one: Judged, rows: pd.DataFrame) -> tuple[str, NDArray[np.object_], NDArray[np.object_]]:
    """What images have in common: the site where it is known, else how their files are called."""
    told = [rows.reindex(part.row_ids) for part in (one.predicted.val, one.predicted.test)]
    if "site" in rows and told[1]["site"].nunique() > 1:
        of_val, of_test = (table["site"].astype(object).fillna("").to_numpy() for table in told)
        return "site", of_val, of_test
    return "file names like", _name_family(one.predicted.val), _name_family(one.predicted.test)


def _name_family(part: Part) -> NDArray[np.object_]:
    return np.array([name_family(str(row_id)) for row_id in part.row_ids], dtype=object)


def _kept(values: NDArray[np.object_]) -> Iterator[str]:
    """The most frequent values, at most twelve."""
    names, counts = np.unique(np.asarray(values, dtype=str), return_counts=True)
    for name in names[np.argsort(-counts, kind="stable")][:MOST_GROUPS]:
        if name:
            yield str(name)
