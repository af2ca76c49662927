"""Prediction tables as statistics need them: checked, one row per image, what was mended told in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import read_json
from secondread.core.leakage import forbid_overlap, read_contents
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, log_test_read, needed
from secondread.core.tables import PREDICTION_COLUMNS, Dataset, known_labels, labels_of, read_dataset, read_table
from secondread.core.trials import Trial, trials
from secondread.evaluate.leakage import leaky_arms

SPLITS = ("val", "test")


@dataclass(frozen=True, eq=False)
class Part:
    """The rows of one split of one trial: row_ids [N], patients [N] (None: unknown), labels and logits [N, K]."""

    row_ids: NDArray[np.object_]
    patients: NDArray[np.object_]
    labels: NDArray[np.float64]
    logits: NDArray[np.float64]

    @property
    def n(self) -> int:
        return len(self.row_ids)

    def take(self, rows: NDArray[Any]) -> Part:
        return Part(self.row_ids[rows], self.patients[rows], self.labels[rows], self.logits[rows])


def joined(parts: Sequence[Part]) -> Part:
    """Parts one after the other, sorted by row id so that every trial over the same rows has them in one order."""
    whole = Part(*(np.concatenate([getattr(p, name) for p in parts]) for name in Part.__dataclass_fields__))
    return whole.take(np.argsort(whole.row_ids.astype(str), kind="stable"))


@dataclass(frozen=True, eq=False)
class Predicted:
    """One trial's predictions and the card it was trained under (empty when it left none)."""

    trial: Trial
    val: Part
    test: Part
    card: dict[str, Any]

    @property
    def arm(self) -> str:
        return self.trial.arm

    @property
    def model(self) -> str:
        return self.trial.model.label

    @property
    def member(self) -> str:
        return f"r{self.trial.repeat}f{self.trial.fold}s{self.trial.seed}"

    def part(self, split: str) -> Part:
        return self.val if split == "val" else self.test


@dataclass
class Evidence:
    """All that is judged, and what had to be mended to judge it."""

    dataset: Dataset
    trials: list[Predicted]
    notes: list[str] = field(default_factory=list)
    leaky: list[str] = field(default_factory=list)
    """Arms that could see test rows, because the study file allows it."""

    @property
    def arms(self) -> list[str]:
        return list(dict.fromkeys(one.arm for one in self.trials))

    @property
    def models(self) -> list[str]:
        return list(dict.fromkeys(one.model for one in self.trials))

    def of(self, arm: str, model: str) -> list[Predicted]:
        return [one for one in self.trials if (one.arm, one.model) == (arm, model)]

    def trainings(self, arm: str, model: str) -> set[tuple[int, int]]:
        """Repeat and seed of each training of the recipe; its folds together are one training."""
        return {(one.trial.repeat, one.trial.seed) for one in self.of(arm, model)}

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (arm, model) that has a trial, in the order of the study."""
        return list(dict.fromkeys((one.arm, one.model) for one in self.trials))


def read_evidence(study: Study, where: StudyDir) -> Evidence:
    """Every trial that has predictions. Raises `BadData` when there is none and `Leak` when one saw a test row."""
    dataset = read_dataset(needed(where.dataset, "gather"))
    wanted = list(trials(study, where))
    there = [trial for trial in wanted if where.predictions(trial.name).exists()]
    if not there:
        needed(where.predictions(wanted[0].name) if wanted else where.root / "predict", "predict")
        raise BadData(f"no trial of {study.study} matches --only {where.only!r}")
    evidence = Evidence(dataset, [], leaky=leaky_arms(study, where))
    if missing := [trial.name for trial in wanted if trial not in there]:
        evidence.notes.append(f"{len(missing)} of {len(wanted)} trials have no predictions: {', '.join(missing[:6])}.")
    rows = read_table(where.clean_rows) if where.clean_rows.exists() else pd.DataFrame()
    for trial in there:
        table = read_table(where.predictions(trial.name))
        if trial.arm not in evidence.leaky and not rows.empty:
            _forbid_seen_rows(trial, table, rows, where)
        evidence.trials.append(_predicted(trial, table, dataset, where, evidence.notes))
    log_test_read(where, "evaluate", f"{len(there)} prediction tables")
    return evidence


def _predicted(trial: Trial, table: pd.DataFrame, dataset: Dataset, where: StudyDir, notes: list[str]) -> Predicted:
    split = {name: part_of(table, name, dataset.classes, trial.name, notes) for name in SPLITS}
    card = where.trial(trial.name) / "card.json"
    return Predicted(trial, split["val"], split["test"], read_json(card) if card.exists() else {})


def part_of(table: pd.DataFrame, split: str, classes: Sequence[str], name: str, notes: list[str]) -> Part:
    """One split of a prediction table; what is odd about it goes to `notes`.

    A row id that stands twice counts once (its first row); a prediction that is no number stays NaN, and the scores
    that would rest on it are NaN too.
    """
    missing = [column for column in _columns(classes) if column not in table]
    if missing:
        raise BadData(f"the prediction table of {name} has no column {missing[0]!r}: run `secondread predict` again")
    rows = table[table["split"] == split]
    twice = rows["row_id"].duplicated()
    if twice.any():
        notes.append(f"{name}, {split}: {int(twice.sum())} rows repeat a row id; the first of each was counted.")
    rows = rows[~twice].sort_values("row_id", kind="stable")
    logits = labels_of(rows, classes, "logit_").astype(np.float64)
    broken = ~np.isfinite(logits).all(axis=1)
    if broken.any():
        notes.append(
            f"{name}, {split}: {int(broken.sum())} of {len(rows)} rows have predictions that are no numbers; "
            "scores that would rest on them are not given."
        )
    if len(rows) > 1 and not broken.any() and np.ptp(logits, axis=0).max() == 0:
        notes.append(f"{name}, {split}: every row has the same prediction.")
    labels = known_labels(labels_of(rows, classes)).astype(np.float64)
    return Part(
        rows["row_id"].to_numpy(dtype=object), patients_of(rows), labels,
        np.where(np.isfinite(logits), logits, np.nan),
    )  # fmt: skip


def patients_of(rows: pd.DataFrame) -> NDArray[np.object_]:
    """[N]: the patient of each row; where nobody is named, its group of duplicates."""
    named = rows["patient"].astype(object)
    return np.asarray(named.where(named.notna(), rows["group"].astype(object)), dtype=object)


def _columns(classes: Sequence[str]) -> list[str]:
    return [*PREDICTION_COLUMNS, *(prefix + name for prefix in ("y_", "logit_") for name in classes)]


def _forbid_seen_rows(trial: Trial, table: pd.DataFrame, rows: pd.DataFrame, where: StudyDir) -> None:
    seen = where.trial(trial.name) / "contents.json"
    if seen.exists():
        forbid_overlap(read_contents(seen), table[table["split"] == "test"], rows, f"the trial {trial.name}")
