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


# Kermany: person12_bacteria_3 and person12_virus_4 are one child, whatever follows the number.
FORMS = (
    Form("Kermany (person<N>_…)", re.compile(r"(?:^|/)person(\d+)_[^/]*$"), "person"),
    Form("Kermany (NORMAL2-IM-<N>-…)", re.compile(r"(?:^|/)NORMAL2-IM-(\d+)(?:-[^/]*)?$"), "NORMAL2-IM-"),
    Form("Kermany (IM-<N>-…)", re.compile(r"(?:^|/)IM-(\d+)(?:-[^/]*)?$"), "IM-"),
    Form("NIH (<patient>_<follow-up>)", re.compile(r"(?:^|/)(\d{8})_\d{3}(?:[^0-9/][^/]*)?$")),
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
        return unknown, "", ["patients: nothing names them; duplicates act as patients, separation is not verifiable"]
    rule = "file names: " + ", ".join(used)
    return named, rule, [_count_note(rule, named)]


def patients_by_name(paths: Sequence[str]) -> dict[str, list[str | None]]:
    """The patients by each known form that fits enough of the paths."""
    stems = [path.rsplit(".", 1)[0] for path in paths]
    found = {}
    for form in FORMS:
        matches = [form.pattern.search(stem) for stem in stems]
        hits = sum(match is not None for match in matches)
        if hits >= min(LEAST_FILES, max(1.0, LEAST_SHARE * len(stems))):
            found[form.name] = [form.prefix + match.group(1) if match else None for match in matches]
    return found


def _count_note(rule: str, named: pd.Series) -> str:
    return f"patients: {rule}: {named.nunique()} patients in {int(named.notna().sum())} of {len(named)} images"
