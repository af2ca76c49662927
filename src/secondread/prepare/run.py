"""Step 2. Reads gather/rows.parquet, gather/dataset.json and the images.

Writes prepare/audit.json and audit.html (what was found), rows.parquet (clean rows with their group), dropped.parquet
(what was left out and why); then splits.parquet with split_proof.json; then pixels.json and the pixel caches. What was
measured of the images is remembered under cache/, by content.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from secondread.core.agreement import forbid_leaky_split
from secondread.core.errors import BadData
from secondread.core.files import write_json, write_text
from secondread.core.progress import say
from secondread.core.registry import resolve
from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir, Unit, log_test_read, needed
from secondread.core.tables import (
    CLEAN_COLUMNS,
    ROW_COLUMNS,
    SPLIT_COLUMNS,
    Dataset,
    forbid_unlabelled,
    labels_of,
    read_dataset,
    read_table,
    write_table,
)
from secondread.images.cache import build_cache, study_items
from secondread.images.decode import DECODER_VERSION, PixelSpec
from secondread.prepare.audit import Audited, audited, material_of
from secondread.prepare.clean import cleaned
from secondread.prepare.material import many
from secondread.prepare.memory import Measured, measured
from secondread.prepare.page import audit_page
from secondread.prepare.pixels import pixel_settings, sizes_of
from secondread.prepare.proof import prove

VERSION = 1
AUDIT_VERSION = 3
LEAKY = "image_level"
LOOKING = {"unreadable", "near_duplicates", "shortcuts"}
"""Checks for which images are decoded; without any of them rows are compared by bytes, labels and patients alone."""


def units(study: Study, where: StudyDir) -> list[Unit]:
    """The audit with the clean rows, the split, the pixels."""
    return [_audit_unit(study, where), _split_unit(study, where), _pixels_unit(study, where)]


def run(study: Study, where: StudyDir) -> None:
    look(study, where)
    _, split, pixels = units(study, where)
    forbid_unlabelled(read_dataset(where.dataset))
    if split.state() != "done":
        with split.work([where.splits, where.split_proof]):
            _split(study, where)
    if pixels.state() != "done":
        with pixels.work([where.pixels]):
            _pixels(study, where)


def look(study: Study, where: StudyDir) -> None:
    """The audit and the clean rows alone, where they are missing or stale."""
    needed(where.rows, "gather")
    audit = _audit_unit(study, where)
    if audit.state() != "done":
        with audit.work([where.clean_rows, where.dropped, where.audit]):
            audit_and_clean(study, where)


def _audit_unit(study: Study, where: StudyDir) -> Unit:
    asked = study.prepare
    settings = {"version": AUDIT_VERSION, "decoder": DECODER_VERSION, "checks": asked.checks,
                "frames": study.gather.frames, "drop_duplicates": asked.drop_duplicates}  # fmt: skip
    done = where.prepare / "audit.done.json"
    return Unit("prepare", "audit", where.prepare, settings, [where.rows, where.dataset], done)


def _split_unit(study: Study, where: StudyDir) -> Unit:
    asked = study.prepare
    settings = {"version": VERSION, "split": asked.split.as_written(), "seed": asked.seed, "leaky": asked.allow_leakage}
    done = where.prepare / "split.done.json"
    return Unit("prepare", "split", where.prepare, settings, [where.clean_rows, where.dataset], done)


def _pixels_unit(study: Study, where: StudyDir) -> Unit:
    asked = as_yaml(study.prepare)
    settings: dict[str, Any] = {name: asked[name] for name in ("channels", "intensity", "crop_border")}
    settings |= {
        "version": VERSION,
        "decoder": DECODER_VERSION,
        "sizes": sizes_of(study),
        "frames": study.gather.frames,
    }
    done = where.prepare / "pixels.done.json"
    return Unit("prepare", "pixels", where.prepare, settings, [where.clean_rows, where.dataset], done)


def audit_and_clean(study: Study, where: StudyDir) -> None:
    """Audit the gathered rows and write the clean ones."""
    result = audit_rows(study, where)
    kept = result.material.cleaned.kept
    if kept.empty:
        reasons = result.material.cleaned.dropped["reason"].value_counts()
        raise BadData(
            f"no image is left after cleaning; {reasons.iloc[0]} of {reasons.sum()} are left out as {reasons.index[0]}"
        )
    write_table(kept, where.clean_rows, ROW_COLUMNS | CLEAN_COLUMNS)
    write_table(result.material.cleaned.dropped, where.dropped, ROW_COLUMNS | CLEAN_COLUMNS | {"reason": "string"})
    for line in _told(result):
        say(f"  {line}")


def audit_rows(study: Study, where: StudyDir) -> Audited:
    """Audit the gathered rows and write audit.json and audit.html."""
    dataset, rows = read_dataset(where.dataset), read_table(where.rows)
    if LOOKING & set(study.prepare.checks):
        seen = measured(rows, Path(dataset.root), where.cache, study.gather.frames)
    else:
        seen = Measured.nothing(rows)
    made = cleaned(rows, seen, dataset.classes, study.prepare)
    result = audited(material_of(made, seen, dataset, study.prepare.drop_duplicates), study.prepare.checks)
    write_json(where.audit, result.as_dict())
    write_text(where.audit_page, audit_page(result, study.study))
    log_test_read(where, "prepare", f"audit of {len(rows)} rows")
    return result


def _told(result: Audited) -> list[str]:
    dropped = len(result.material.cleaned.dropped)
    lines = [f"{len(result.material.cleaned.kept)} rows are clean, {dropped} left out"]
    return [*result.banners, *lines, *(one.message for one in result.found if one.severity != "info")]


def _split(study: Study, where: StudyDir) -> None:
    asked, dataset = study.prepare, read_dataset(where.dataset)
    rows = read_table(where.clean_rows)
    leaky = asked.split.name == LEAKY
    forbid_leaky_split(study)
    labels = labels_of(rows, dataset.classes)
    splits: pd.DataFrame = resolve("splits", asked.split)(rows, labels, asked.seed)
    proof = prove(
        rows,
        splits,
        dataset.classes,
        leaky=leaky,
        patients_known=_patients_known(rows, dataset),
        exclusive=dataset.task != "multilabel",
    )
    told: list[str] = splits.attrs.get("notes", [])
    write_table(splits, where.splits, SPLIT_COLUMNS)
    write_json(where.split_proof, proof | {"notes": [*told, *proof["notes"]]})
    if leaky:
        say("  LEAKY PROTOCOL: images are split one by one, as the study asks")
    for note in [*told[:4], *proof["notes"][:4]]:
        say(f"  {note}")


def _patients_known(rows: pd.DataFrame, dataset: Dataset) -> bool:
    return bool(dataset.patient_rule) and bool(rows["patient_known"].all())


def _pixels(study: Study, where: StudyDir) -> None:
    dataset, rows = read_dataset(where.dataset), read_table(where.clean_rows)
    seen: Measured = measured(rows, Path(dataset.root), where.cache, study.gather.frames)
    _forbid_refused(rows, seen.facts)
    settings, notes = pixel_settings(seen.facts, study.prepare, study.gather.frames)
    for note in notes:
        say(f"  {note}")
    items = study_items(where)
    for size, fit in sizes_of(study):
        spec = PixelSpec(size, fit, settings["channels"], settings["intensity"], settings["crop_border"])
        cache = build_cache(items, spec, where.cache, frames=study.gather.frames)
        file = cache.path.relative_to(where.root).as_posix()
        settings["caches"][f"{size}-{fit}"] = {"key": cache.path.stem, "file": file}
    write_json(where.pixels, settings)


def _forbid_refused(rows: pd.DataFrame, facts: pd.DataFrame) -> None:
    """Raise `BadData` for images that no check left out and nothing can be learned from."""
    refused = facts["refused"].fillna("").ne("").to_numpy()
    if refused.any():
        first = int(refused.argmax())
        raise BadData(
            f"{many(int(refused.sum()), 'image')} cannot be read (first: {rows['row_id'].iloc[first]}: "
            f"{facts['reason'].iloc[first]}). prepare.checks: [unreadable] leaves them out"
        )
