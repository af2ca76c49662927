"""Who the patient is: a column, the DICOM header, a regular expression, or a file name of a known form."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from secondread.core.errors import WrongRequest
from secondread.gather.columns import words
from secondread.gather.found import Found


@dataclass(frozen=True)
class Form:
    """A known form of file names; the first group is the patient, and what comes before it keeps namesakes apart."""

    name: str
    pattern: re.Pattern[str]
    prefix: str = ""
    beside: tuple[str, ...] = ()
    """Forms of the same set, one of which must be there too: by itself this one may mean something else."""


# Kermany: person12_bacteria_3 and person12_virus_4 are one child, whatever follows the number.
PERSON = Form("Kermany (person<N>_…)", re.compile(r"(?:^|/)person(\d+)_[^/]*$"), "person")
NORMAL2 = Form("Kermany (NORMAL2-IM-<N>-…)", re.compile(r"(?:^|/)NORMAL2-IM-(\d+)(?:-[^/]*)?$"), "NORMAL2-IM-")
EXPORTED = Form(
    "Kermany (IM-<N>-…)", re.compile(r"(?:^|/)IM-(\d+)(?:-[^/]*)?$"), "IM-", beside=(PERSON.name, NORMAL2.name)
)
FORMS = (
    PERSON,
    NORMAL2,
    EXPORTED,
    # NIH's numbers end at 30805; 20200315_001 is a date.
    Form("NIH (<patient>_<follow-up>)", re.compile(r"(?:^|/)(000[0-3]\d{4})_\d{3}(?:[^0-9/][^/]*)?$")),
    Form("CheXpert (patient<N>/study<M>/…)", re.compile(r"(?:^|/)patient(\d+)/study\d+/[^/]*$"), "patient"),
    Form("patient<N> in the name", re.compile(r"(?i)(?:^|/|_|-)patient[-_ ]?(\d+)(?![0-9])"), "patient"),
    Form("subject<N> in the name", re.compile(r"(?i)(?:^|/)(?:subject|subj|sub)[-_ ]?(\d+)(?![0-9])"), "subject"),
)
# A form that fits this many files, or this share of few files, is no coincidence.
LEAST_SHARE, LEAST_FILES = 0.02, 5


def recognised(found: Found, asked: str) -> tuple[pd.Series, str, list[str]]:
    """Patient of each row (null where unknown), the rule in words (empty when nothing names it), and notes."""
    rows = found.rows
    unknown = pd.Series([None] * len(rows), index=rows.index, dtype="string")
    if asked == "none":
        return unknown, "", ["patients: not recognised, as the study asks; duplicates act as patients"]
    if asked == "auto":
        return _automatic(found, unknown)
    for column in (f"x_{asked}", found.columns.get(asked), asked):
        if column in rows:
            named = words(rows[column])
            if named.isna().all():
                raise WrongRequest(f"gather.patient: the column {asked} names nobody")
            return named, f"column {asked}", [f"patients: column {asked} names {named.nunique()}"]
    try:
        pattern = re.compile(asked)
    except re.error as error:
        raise WrongRequest(
            f"gather.patient: {asked!r} is neither a column nor a regular expression: {error}"
        ) from error
    if pattern.groups < 1:
        raise WrongRequest(
            f"gather.patient: {asked!r} is no column, and as a regular expression has no group for the patient. "
            f"Columns: {', '.join(_names_of_columns(found))}"
        )
    named = rows["path"].astype("string").str.extract(asked, expand=True)[0]
    if named.notna().sum() == 0:  # `^` may be meant as the beginning of the name
        named = rows["path"].astype("string").str.rsplit("/", n=1).str[-1].str.extract(asked, expand=True)[0]
    if named.notna().sum() == 0:
        raise WrongRequest(f"gather.patient: {asked!r} fits no file name (first: {rows['path'].iloc[0]})")
    return named, f"pattern {asked}", [_count_note("the pattern", named)]


def _exported_note(paths: pd.Series) -> list[str]:
    """A hint where names are those of a viewer's export: IM-0001-0003 is the third image of a series."""
    exported = [path for path in paths if EXPORTED.pattern.search(path.rsplit(".", 1)[0])]
    if not exported:
        return []
    name = exported[0].rsplit("/", 1)[-1]
    return [f"patients: names such as {name} count series and images in an export (OsiriX, Horos); where a folder is "
            "the patient, say which: gather.patient: '^[^/]+/([^/]+)/' takes the second"]  # fmt: skip


def _names_of_columns(found: Found) -> list[str]:
    """What a study may call the columns of the source."""
    further = [name.removeprefix("x_") for name in found.rows.columns if name.startswith("x_")]
    return sorted({*found.columns, *further} or set(found.rows.columns))


def _automatic(found: Found, unknown: pd.Series) -> tuple[pd.Series, str, list[str]]:
    given = found.rows.get("patient")
    if given is not None and given.notna().any():
        named = given.astype("string")
        rule = found.patient_rule or "the source"
        return named, rule, [_count_note(rule, named)]
    by_form = patients_by_name(found.rows["path"].tolist())
    named = unknown.copy()
    used = []
    for form, patients in by_form.items():
        named = named.where(named.notna(), pd.Series(patients, index=named.index, dtype="string"))
        used.append(form)
    if not used:
        notes = ["patients: nothing names them; duplicates act as patients, separation is not verifiable"]
        return unknown, "", [*notes, *_exported_note(found.rows["path"])]
    rule = "file names: " + ", ".join(used)
    return named, rule, [_count_note(rule, named)]


def patients_by_name(paths: Sequence[str]) -> dict[str, list[str | None]]:
    """The patients by each known form that fits enough of the paths."""
    stems = [path.rsplit(".", 1)[0] for path in paths]
    found: dict[str, list[str | None]] = {}
    for form in FORMS:
        if form.beside and not found.keys() & set(form.beside):
            continue
        matches = [form.pattern.search(stem) for stem in stems]
        hits = sum(match is not None for match in matches)
        if hits >= min(LEAST_FILES, max(1.0, LEAST_SHARE * len(stems))):
            found[form.name] = [form.prefix + match.group(1) if match else None for match in matches]
    return found


def _count_note(rule: str, named: pd.Series) -> str:
    return f"patients: {rule}: {named.nunique()} patients in {int(named.notna().sum())} of {len(named)} images"
