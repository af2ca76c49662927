"""The record that the report is written from: nothing but files of the study."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from secondread.core.files import read_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, needed
from secondread.core.tables import read_csv, read_results, read_table
from secondread.evaluate.operating import Judged
from secondread.evaluate.predictions import Evidence, read_evidence
from secondread.metrics.calibration import OperatingPoint


@dataclass(frozen=True, eq=False)
class Record:
    study: Study
    where: StudyDir
    evidence: Evidence
    judged: list[Judged]
    scores: pd.DataFrame
    comparisons: pd.DataFrame
    summary: dict[str, Any]
    made: dict[str, Any] = field(default_factory=dict)
    """What readers of the record derived once and want again."""

    @property
    def picked(self) -> dict[str, Any]:
        found: dict[str, Any] = self.summary["picked"]
        return found

    @property
    def baseline(self) -> str:
        return self.study.evaluate.baseline or next(iter(self.study.arms))

    @property
    def classes(self) -> list[str]:
        return self.evidence.dataset.classes

    @property
    def task(self) -> str:
        return self.evidence.dataset.task

    @cached_property
    def picked_trial(self) -> Judged:
        at = self.picked
        member = f"r{at['repeat']}f{at['fold']}s{at['seed']}"
        return next(
            one
            for one in self.judged
            if (one.predicted.arm, one.predicted.model, one.predicted.member) == (at["arm"], at["model"], member)
        )

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The clean rows, indexed by row id; empty when they are not there."""
        if not self.where.clean_rows.exists():
            return pd.DataFrame(columns=["row_id"]).set_index("row_id")
        return read_table(self.where.clean_rows).drop_duplicates("row_id").set_index("row_id", drop=False)

    @cached_property
    def splits(self) -> pd.DataFrame:
        there = self.where.splits.exists()
        return read_table(self.where.splits) if there else pd.DataFrame(columns=["repeat", "fold", "row_id", "split"])

    @property
    def folded(self) -> bool:
        """Whether several trainings, one per fold, share the test rows among them."""
        test = self.splits[self.splits["split"] == "test"]
        return bool(test["fold"].nunique() > 1 and not test.duplicated(["repeat", "row_id"]).any())

    @cached_property
    def audit(self) -> dict[str, Any]:
        return _json(self.where.audit)

    @cached_property
    def split_proof(self) -> dict[str, Any]:
        return _json(self.where.split_proof)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        return _json(self.where.provenance)

    @cached_property
    def epochs(self) -> pd.DataFrame:
        """epochs.csv of all trials in one table, with arm, model and member."""
        tables = []
        for one in self.evidence.trials:
            path = self.where.trial(one.trial.name) / "epochs.csv"
            if path.exists():
                tables.append(read_csv(path).assign(arm=one.arm, model=one.model, member=one.member))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=["arm", "model", "member"])


def read_record(study: Study, where: StudyDir) -> Record:
    """Read what the unit `scores` wrote. Raises `BadData` when it is not there."""
    evidence = read_evidence(study, where)
    points = {pair: read_json(needed(where.operating(*pair), "evaluate")) for pair in evidence.pairs}
    judged = [Judged(one, OperatingPoint.from_dict(points[one.arm, one.model][one.member])) for one in evidence.trials]
    scores, comparisons = (read_results(needed(path, "evaluate")) for path in (where.scores, where.comparisons))
    return Record(study, where, evidence, judged, scores, comparisons, read_json(where.summary))


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path) if path.exists() else {}
    return found
