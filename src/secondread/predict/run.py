"""Step 6: trial + rows → one prediction table.

Reads train/<trial>/ (weights, card, contents), prepare/ and cache/. Writes predict/<trial>.parquet with the validation
and test rows of the trial's fold, and predict/external/<name>/<trial>.parquet for each external set. Test rows are read
here, and every reading is logged.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, Unit, log_test_read, needed
from secondread.core.tables import PREDICTION_COLUMNS, write_table
from secondread.core.trials import Trial, trials

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
"""Raised when the same trial would be predicted otherwise."""


def units(study: Study, where: StudyDir) -> list[Unit]:
    """One unit per trial and set: the study's own rows, then each external set."""
    return [unit for trial in trials(study, where) for unit in _units_of(study, trial, where)]


def run(study: Study, where: StudyDir) -> None:
    """Write every prediction table that is missing or stale."""
    for trial in trials(study, where):
        for unit, external in zip(_units_of(study, trial, where), _sets(study), strict=True):
            if unit.state() != "done":
                from secondread.predict.table import external_table, own_table

                path = _path(where, trial, external)
                for source in unit.inputs:
                    needed(source, source.relative_to(where.root).parts[0])
                with unit.work((path,)):
                    if external is None:
                        log_test_read(where, "predict", trial.name)
                        table = own_table(study, where, trial)
                    else:
                        table = external_table(study, where, trial, external)
                    _write(table, path)


def _write(table: pd.DataFrame, path: Path) -> None:
    write_table(table, path, PREDICTION_COLUMNS)


def _sets(study: Study) -> list[str | None]:
    return [None, *(external.name for external in study.gather.external)]


def _path(where: StudyDir, trial: Trial, external: str | None) -> Path:
    return where.predictions(trial.name) if external is None else where.external_predictions(external, trial.name)


def _units_of(study: Study, trial: Trial, where: StudyDir) -> list[Unit]:
    trained = where.trial(trial.name) / "done.json"
    made = []
    for external in _sets(study):
        path = _path(where, trial, external)
        rows = where.clean_rows if external is None else where.external_rows(external)
        name = trial.name if external is None else f"{trial.name} on {external}"
        inputs = (trained, rows, where.splits) if external is None else (trained, rows)
        made.append(Unit("predict", name, path.parent, {"format": FORMAT}, inputs, path.with_suffix(".done.json")))
    return made
