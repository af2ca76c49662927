"""Trees of DICOM files: patient, sex, age, view and site from the header; the label from a table, a tag or a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData, WrongRequest
from secondread.core.progress import progress
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.core.tables import NO_LABELS
from secondread.gather.choosing import chosen, need_sense
from secondread.gather.columns import NamesNoFile, ages
from secondread.gather.files import Listing, listing, split_of
from secondread.gather.found import Found, of_present_classes, one_class_per_row, unlabelled
from secondread.gather.identifiers import ACCESSION, IDENTIFIERS, by_identifier
from secondread.gather.levels import Role, levels_of
from secondread.gather.table import Given, best_table, from_table
from secondread.images.decode import Refusal
from secondread.images.decode_pool import Crash, in_processes

HEADER_BYTES = 1 << 20
"""Read first; a header longer than this is rare, and then the whole file is read."""


@part("sources", "dicom", refuses=need_sense)
def dicom(
    root: Path,
    gather: Gather,
    /,
    *,
    table: str = "",
    label: str | list[str] | None = None,
    tag: str = "",
    folders: list[Role] | None = None,
    views: list[str] | None = None,
    modalities: list[str] | None = None,
    captures: bool = True,
) -> Found:
    """A DICOM tree, all or the given views and modalities; labels from a `table`, a `tag` or class folders."""
    there = listing(root)
    _check_keyword(tag)
    headers = headers_of(there, tag)
    wanted, notes = chosen(headers, views, modalities, captures)
    found = _labelled(there, headers, wanted, table, label, tag, folders)
    return with_headers(replace(found, notes=[*found.notes, *notes]), headers, gather.patient, folders or ())


def recognised(there: Listing, patient: str) -> Found:
    """A tree whose labels are where they are found by themselves; without any, its images are audited only."""
    headers = headers_of(there)
    try:
        found = _labelled(there, headers, np.ones(len(headers), dtype=bool))
    except BadData as error:
        found = unlabelled(there, [f"{NO_LABELS}{error}", *there.notes])
    return with_headers(found, headers, patient)


def headers_of(there: Listing, tag: str = "") -> pd.DataFrame:
    headers = read_headers(there.root, there.images, tag)
    if headers.drop(columns=["path", "age"]).isna().all(axis=None):
        raise BadData(f"no DICOM file was found under {there.root}")
    return headers


def with_headers(found: Found, headers: pd.DataFrame, patient: str, folders: Sequence[Role] = ()) -> Found:
    """The rows with what their headers say, which goes before a table, but not before what the study asks for.

    It may ask for a column as `patient`, for one of `IDENTIFIERS`, or say of `folders` that they are the patients.
    """
    told = headers.set_index("path").loc[found.rows["path"]].reset_index()
    rows = found.rows.copy()
    if patient in found.columns:
        rows[f"x_{patient}"] = rows[found.columns[patient]]
    for name in {"patient", "sex", "age", "view", "site"}.difference(folders):
        own = rows[name] if name in rows else pd.Series([None] * len(rows), dtype=object)
        rows[name] = told[name].where(told[name].notna(), own.to_numpy())
    rows["x_modality"] = told["modality"]
    if patient in IDENTIFIERS:
        rows[f"x_{patient}"] = told[patient]
    by_header = told["patient"].notna().any() and "patient" not in folders
    rule = "DICOM header (PatientID)" if by_header else found.patient_rule
    return replace(found, rows=rows, patient_rule=rule, notes=[*found.notes, *_no_patient_notes(rows, told, patient)])


def _no_patient_notes(rows: pd.DataFrame, told: pd.DataFrame, patient: str) -> list[str]:
    """What to write where anonymisation left no patient, or one and the same for all examinations."""
    examinations = told["StudyInstanceUID"].nunique()
    if patient != "auto" or examinations < 2 or rows["patient"].nunique() > 1:
        return []
    names = rows["patient"].dropna().unique()
    what = f"all headers have one PatientID ({names[0]})" if len(names) else "no header has a PatientID"
    return [
        f"{what} in {examinations} examinations: if anonymisation did that, name patients by a column or a folder, "
        "gather.patient: COLUMN or '^([^/]+)/', or keep examinations together, gather.patient: StudyInstanceUID"
    ]


def _check_keyword(tag: str) -> None:
    from pydicom.datadict import tag_for_keyword

    if tag and tag_for_keyword(tag) is None:
        raise WrongRequest(f"tag: {tag!r} is not a keyword of the DICOM dictionary, such as BodyPartExamined")


def _labelled(
    there: Listing,
    headers: pd.DataFrame,
    wanted: NDArray[np.bool_],
    table: str = "",
    label: str | list[str] | None = None,
    tag: str = "",
    folders: Sequence[Role] | None = None,
) -> Found:
    """The rows of the `wanted` files [N] with their labels; raises `BadData` where nothing has them."""
    if not tag and not folders and (table or there.tables):
        found = _by_table(there, headers, table, label)  # it may name files that are left out: they are there
        return of_present_classes(found.keep(found.rows["path"].isin(headers["path"][wanted]).to_numpy()))
    headers = headers[wanted].reset_index(drop=True)
    if tag:
        return _by_tag(there, headers, tag)
    levels = levels_of(headers["path"].tolist(), folders)
    if levels.labels is None:
        raise BadData(
            levels.why or f"no label for the DICOM files under {there.root}: give a table or a tag, or class folders"
        )
    if not folders and _each_its_own_patient(pd.Series(levels.labels), headers["patient"]):
        raise BadData(
            f"the folders under {there.root} hold one patient each: they are patients, not classes. Give a table or a "
            "tag that has the labels"
        )
    rows = levels.told(_rows(headers).assign(label=levels.labels))
    rule = "folders" if "patient" in rows else ""
    return one_class_per_row(there.root, rows, [*there.notes, *levels.notes], rule)


def _by_table(there: Listing, headers: pd.DataFrame, table: str, label: str | list[str] | None) -> Found:
    given: Given = {"label": label}

    def read(there: Listing, name: str, given: Given) -> Found:
        try:
            return from_table(there, name, given)
        except NamesNoFile:
            return by_identifier(there, headers, name, given)

    return read(there, table, given) if table else best_table(there, given, read)


def _by_tag(there: Listing, headers: pd.DataFrame, tag: str) -> Found:
    known = headers["tag"].notna()
    if not known.any():
        raise WrongRequest(f"no DICOM file has a value for the tag {tag!r}")
    note = f"labels: DICOM tag {tag}; {int((~known).sum())} files without it left out"
    rows = _rows(headers).assign(label=headers["tag"])[known].reset_index(drop=True)
    return one_class_per_row(there.root, rows, [note, *there.notes])


def _rows(headers: pd.DataFrame) -> pd.DataFrame:
    rows = pd.DataFrame({"row_id": headers["path"], "path": headers["path"], "index": -1})
    rows["split_given"] = [split_of(path) for path in rows["path"]]
    return rows


def _each_its_own_patient(labels: pd.Series, patients: pd.Series) -> bool:
    """Whether several folders and as many patients are the same thing; of two it may be chance."""
    pairs = pd.DataFrame({"label": labels, "patient": patients}).drop_duplicates()
    return len(pairs) > 2 and bool(patients.notna().all()) and pairs["label"].is_unique and pairs["patient"].is_unique


def read_headers(root: Path, paths: Sequence[str], tag: str) -> pd.DataFrame:
    """Columns path, patient, sex, age, view, site, modality, kind (SOP class), tag and `IDENTIFIERS` of each file.

    Null where it is no DICOM file. What is a tag by itself is none of the identifiers: one further element is read of
    each header.
    """
    made: list[dict[str, Any]] = [{}] * len(paths)
    jobs = [(str(root), path, tag) for path in paths]
    with progress("headers", len(paths), "files") as shown:
        for start, results in in_processes(_headers, jobs, chunk=256, few=512):
            for k, result in enumerate(results):
                made[start + k] = {} if isinstance(result, Crash) else result
            shown.advance(len(results))
    table = pd.DataFrame({"path": list(paths)})
    for name in ("patient", "sex", "age", "view", "site", "modality", "kind", "tag", *IDENTIFIERS):
        table[name] = pd.Series([one.get(name) for one in made], dtype="string")
    return table.assign(age=ages(table["age"]) if len(table) else np.nan)


def _headers(jobs: Sequence[tuple[str, str, str]]) -> list[dict[str, Any]]:
    return [_header(os.path.join(root, path), tag) for root, path, tag in jobs]


def _header(path: str, tag: str) -> dict[str, Any]:
    """What one header says; empty for what is not a readable DICOM file (the audit says why)."""
    try:
        tags = _tags(path, tag or ACCESSION)
    except (OSError, Refusal):
        return {}
    return {
        "patient": tags.get("PatientID"), "sex": tags.get("PatientSex"), "age": tags.get("PatientAge"),
        "view": tags.get("ViewPosition"), "site": tags.get("InstitutionName") or tags.get("Manufacturer"),
        "modality": tags.get("Modality"), "kind": tags.get("SOPClassUID"), "tag": tags.get(tag) if tag else None,
        **{name: tags.get(name) for name in IDENTIFIERS},
    }  # fmt: skip


def _tags(path: str, tag: str) -> dict[str, str]:
    """The kept elements; a large private element may push the patient behind the beginning of the file."""
    from secondread.images.dicom import CUT, header_facts

    with open(path, "rb") as opened:
        content = opened.read(HEADER_BYTES)
        try:
            return header_facts(content, tag, cut=len(content) == HEADER_BYTES)
        except Refusal as refusal:
            if refusal.code != CUT:
                raise
        return header_facts(content + opened.read(), tag)
