"""Step 1. Reads the folder, table, npz file or DICOM tree that the study names; never writes to it.

Writes gather/rows.parquet (one row per image, `y_<class>` per class) and gather/dataset.json (task, classes, patients,
and what was understood, as echoed); the same for each external set under gather/external/. Files that were added,
removed or changed since are gathered again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import read_json
from secondread.core.progress import say
from secondread.core.registry import resolve
from secondread.core.spec import PartRef, Study, as_yaml
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import without_root
from secondread.core.tables import ROW_COLUMNS, Dataset, with_columns, write_dataset, write_table
from secondread.gather.aligned import Gathered, aligned
from secondread.gather.changes import SourceUnit, contents_of, what_changed
from secondread.gather.contents import content_ids
from secondread.gather.found import FACTS, Found
from secondread.gather.labels import labelled, texts_for_nothing
from secondread.gather.patients import recognised
from secondread.metrics.cases import AVERAGES

VERSION = 3
NEEDS_NO_DATA = "phantom"


def units(study: Study, where: StudyDir) -> list[SourceUnit]:
    """The study's own rows, then one unit per external set."""
    made = [_unit(study, where, "rows", study.gather.source, where.rows)]
    for external in study.gather.external:
        path = where.external_rows(external.name)
        made.append(_unit(study, where, f"external/{external.name}", external.source, path))
    return made


def run(study: Study, where: StudyDir) -> None:
    own, *externals = units(study, where)
    if own.state() != "done":
        with _telling_changes(own, where.rows), own.work([where.rows, where.dataset], files=own.files()):
            found = gathered(study, where, study.gather.source)
            _forbid_names_of_averages(found.dataset.classes)
            _write(found, where.rows, where.dataset)
            for note in found.dataset.notes:
                say(f"  {note}")
    for unit, external in zip(externals, study.gather.external, strict=True):
        if unit.state() != "done":
            path = where.external_rows(external.name)
            with _telling_changes(unit, path), unit.work([path], files=unit.files()):
                own_classes, task = (read_json(where.dataset)[key] for key in ("classes", "task"))
                found = aligned(gathered(study, where, external.source), own_classes, task, f"external {external.name}")
                _write(found, path, path.with_suffix(".json"))


@contextmanager
def _telling_changes(unit: SourceUnit, rows: Path) -> Iterator[None]:
    """Say what the work made other, where files of the source have changed since the last time."""
    before = contents_of(rows) if unit.files_changed() else None
    yield
    if before is not None:
        say(f"  {what_changed(before, rows)}")


def _forbid_names_of_averages(classes: Sequence[str]) -> None:
    """Scores could not be told apart from means, which would be seen only when everything is trained."""
    if taken := [name for name in classes if name in AVERAGES]:
        raise BadData(
            f"a class cannot be called {taken[0]!r}, as a mean of scores is: rename it, "
            f"gather.labels: {{NEW_NAME: {taken[0]}}}"
        )


def gather_anew(study: Study, where: StudyDir) -> None:
    """Gather the study's own rows whatever was gathered before, as the audit of a folder does."""
    _write(gathered(study, where, study.gather.source), where.rows, where.dataset)


def gathered(study: Study, where: StudyDir, source: PartRef) -> Gathered:
    """The rows of a source with final labels, patients and content ids."""
    root = root_of(study, where, source)
    found: Found = resolve("sources", without_root(source))(root, study.gather)
    final = labelled(found, study.gather)
    patient, rule, patient_notes = recognised(final.found, study.gather.patient)
    rows = final.found.rows.copy()
    for name in FACTS:
        if name not in rows:
            rows[name] = None
    rows["age"] = rows["age"].astype("float64")
    rows["patient"] = patient.to_numpy()
    rows["content_id"] = content_ids(final.found.root, rows)
    dataset = Dataset(
        task=final.task,
        classes=final.classes,
        root=str(final.found.root.resolve()),
        source=source.name,
        patient_rule=rule,
        texts={name: told.text for name, told in study.gather.classes.items() if told.text},
        notes=[*final.found.notes, *final.notes, *texts_for_nothing(study.gather, final.classes), *patient_notes],
    )
    return Gathered(rows.reset_index(drop=True), dataset, final.values)


def root_of(study: Study, where: StudyDir, source: PartRef) -> Path:
    """The folder of a source: the first of its `root`s that exists, relative to the data."""
    if source.name == NEEDS_NO_DATA:
        return where.rows.parent
    given = source.options.get("root", ".")
    wanted = [str(one) for one in (given if isinstance(given, list) else [given])]
    if where.data is None and not all(Path(one).is_absolute() for one in wanted):
        raise WrongRequest("say where the data are: --data FOLDER or $SECONDREAD_DATA")
    base = where.data or Path()
    there = next((base / one for one in wanted if (base / one).exists()), None)
    if there is None:
        raise BadData(f"gather.source.root: {' nor '.join(wanted)} is not in {base}")
    return there


def _unit(study: Study, where: StudyDir, name: str, source: PartRef, table: Path) -> SourceUnit:
    settings: dict[str, Any] = as_yaml(study.gather) | {"source": source.as_written(), "version": VERSION}
    settings.pop("external")
    dataset = where.dataset if name == "rows" else table.with_suffix(".json")
    settings["root"] = _root_or_recorded(study, where, source, dataset)
    inputs: Sequence[Path] = () if name == "rows" else (where.dataset,)
    data = Path(settings["root"]) if settings["root"] else None
    return SourceUnit("gather", name, table.parent, settings, inputs, table.with_suffix(".done.json"), data, where.seen)


def _root_or_recorded(study: Study, where: StudyDir, source: PartRef, dataset: Path) -> str:
    """Where the data are; without --data (as `status` asks) where they were."""
    if source.name == NEEDS_NO_DATA:
        return ""
    if where.data is None and dataset.exists():
        return str(read_json(dataset)["root"])
    try:
        return str(root_of(study, where, source).resolve())
    except (BadData, WrongRequest):
        return str(read_json(dataset)["root"]) if dataset.exists() else ""


def _write(found: Gathered, rows: Path, dataset: Path) -> None:
    table = with_columns(found.rows, found.dataset.classes, found.values, "y_")
    if table["row_id"].duplicated().any():
        raise BadData(f"{table.loc[table['row_id'].duplicated(), 'row_id'].iloc[0]} was gathered twice")
    write_dataset(found.dataset, dataset)
    write_table(table, rows, ROW_COLUMNS)
