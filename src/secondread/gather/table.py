"""Any table (CSV, TSV, Parquet, Excel) that names image files and says what they show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from secondread.core.errors import BadData, WrongRequest
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.gather.columns import (
    NamesNoFile,
    Roles,
    ages,
    infer_roles,
    kinds_of,
    separated,
    separator_of,
    words,
)
from secondread.gather.files import SPLIT_FOLDERS, Listing, listing, split_of
from secondread.gather.found import MOST_CLASSES, Found, many_classes_per_row, one_class_per_row
from secondread.gather.table_files import read_table_file


@part("sources", "table")
def table(
    root: Path,
    gather: Gather,
    /,
    *,
    file: str = "",
    path: str | None = None,
    label: str | list[str] | None = None,
    patient: str | None = None,
    split: str | None = None,
    sex: str | None = None,
    age: str | None = None,
    view: str | None = None,
    site: str | None = None,
) -> Found:
    """A table of any kind whose columns are recognised, echoed, and can be named here."""
    there = listing(root)
    given = {"path": path, "label": label, "patient": patient, "split": split, "sex": sex, "age": age, "view": view,
             "site": site}  # fmt: skip
    if not file:
        return best_table(there, given)
    if not (root / file).is_file():
        raise BadData(f"the table {file} is not in {root}. Tables there: {', '.join(there.tables[:6]) or 'none'}")
    return from_table(there, file, given)


Given = Mapping[str, str | list[str] | None]
"""Columns by role, as far as they were named."""


def best_table(there: Listing, given: Given, read: Callable[[Listing, str, Given], Found] | None = None) -> Found:
    """The table of the folder that names the most images, each read by `read`; raises `BadData` when none does."""
    tried: list[Found] = []
    reasons = []
    for name in there.tables:
        try:
            tried.append((read or from_table)(there, name, given))
        except BadData as error:
            reasons.append(f"{name}: {error}")
    if not tried:
        raise BadData(f"no table under {there.root} names images. " + " ".join(reasons[:2]))
    return max(tried, key=lambda found: len(found.rows))


def from_table(there: Listing, name: str, given: Given) -> Found:
    try:
        return from_content(there, name, read_table_file(there.root / name), given)
    except NamesNoFile as error:
        if name.lower().endswith(".xlsx"):
            raise NamesNoFile(f"{error} (of a workbook the first sheet is read)") from error
        raise


def from_content(there: Listing, name: str, content: pd.DataFrame, given: Given) -> Found:
    """The rows that the table `name` of this content tells of."""
    roles = infer_roles(content, [*there.images, *there.beside], name.rsplit("/", 1)[0] if "/" in name else "", given)
    files = pd.Series(roles.files, dtype=object)
    rows = rows_of(content, roles)
    missing = files.isna()
    notes = [f"table: {name}", roles.note, *roles.doubts, *there.notes]
    if missing.any():
        first = content.loc[missing.to_numpy(), roles.path].iloc[0]
        notes.append(f"{int(missing.sum())} rows of the table name files that are not there (first: {first})")
    extra = len(set(there.images) - set(files.dropna()))
    if extra:
        notes.append(f"{extra} images are in no row of the table and were not gathered")
    keep = ~missing.to_numpy() & ~rows["row_id"].duplicated().to_numpy()
    twice = int((~missing).sum() - keep.sum())
    if twice:
        notes.append(f"{twice} rows of the table name a file that an earlier row named; the first counts")
        notes += _contradictions(rows["row_id"][~missing], content[roles.labels][~missing])
    found = _labelled(there.root, content[keep].reset_index(drop=True), rows[keep].reset_index(drop=True), roles, notes)
    return replace(found, columns=roles.columns)


def _contradictions(files: pd.Series, labels: pd.DataFrame) -> list[str]:
    """Files whose rows say different things, as in tables of one row per finding."""
    again = files.duplicated(keep=False)
    told = labels[again].astype("string").assign(**{"": files[again].astype("string")}).drop_duplicates()[""]
    several = told[told.duplicated()].nunique()
    if not several:
        return []
    return [f"{several} images have rows with different labels; the first counts. Give one row per image, with "
            "labels separated by |, or one column per label"]  # fmt: skip


def rows_of(content: pd.DataFrame, roles: Roles) -> pd.DataFrame:
    """The rows of a table in the columns of a row, further columns as `x_<name>`."""
    files = pd.Series(roles.files, dtype=object)
    rows = pd.DataFrame({"row_id": files, "path": files, "index": -1})
    for role in ("patient", "sex", "view", "site"):
        column = getattr(roles, role)
        rows[role] = words(content[column]) if column else None
    rows["age"] = ages(content[roles.age]) if roles.age else np.nan
    if roles.split:
        told = words(content[roles.split]).str.lower()
        rows["split_given"] = told.map(SPLIT_FOLDERS)
        if unknown := sorted(set(told.dropna()) - set(SPLIT_FOLDERS)):
            raise WrongRequest(
                f"the column {roles.split} is no split: it says {unknown[0]!r}; known are {', '.join(SPLIT_FOLDERS)}"
            )
    else:
        rows["split_given"] = [split_of(file) if file else None for file in roles.files]
    for name in content.columns:
        if name not in roles.taken:
            mixed = content[name].dtype == object  # words among numbers, as Excel allows: a table on disk does not
            rows[f"x_{name}"] = content[name].astype("string") if mixed else content[name]
    return rows


def _labelled(root: Path, content: pd.DataFrame, rows: pd.DataFrame, roles: Roles, notes: list[str]) -> Found:
    rule = f"column {roles.patient}" if roles.patient else ""
    if roles.flags:
        return _from_flags(root, content, rows, roles.labels, notes, rule)
    return _from_words(root, words(content[roles.labels[0]]), rows, notes, rule)


def _from_words(root: Path, text: pd.Series, rows: pd.DataFrame, notes: list[str], rule: str) -> Found:
    """One column of class names: one per row, or several where a sign separates them."""
    if (kinds := kinds_of(text)) > max(MOST_CLASSES, len(text) // 2):
        raise BadData(
            f"the column {text.name} holds {kinds} different values in {len(text)} rows: text, no classes. Set label: "
            "COLUMN"
        )
    sign = separator_of(text)
    present = separated(text, sign) if sign else [None if pd.isna(name) else {name} for name in text]
    said = np.array([names is not None for names in present], dtype=bool)
    if sign:
        notes = [*notes, f"labels are separated by {sign!r}; 'No Finding' means none of them"]
    if not said.all():
        notes = [*notes, f"{int((~said).sum())} rows of the table have no label and were not gathered"]
    rows = rows.assign(label=text.fillna("").astype(str))[said].reset_index(drop=True)
    if not sign:
        notes = [*notes, *_comma_notes(set(rows["label"]))]
        return one_class_per_row(root, rows, notes, rule)
    return many_classes_per_row(root, rows, [names for names in present if names is not None], notes, rule)


def _comma_notes(classes: set[str]) -> list[str]:
    """A hint where commas may separate labels: `a, b` beside `a` and `b, c`."""
    parts = {name: {part.strip() for part in name.split(",")} for name in classes}
    doubtful = [name for name, own in parts.items() if len(own) > 1 and any(
        own & other for further, other in parts.items() if further != name)]  # fmt: skip
    if not doubtful:
        return []
    return [f"{min(doubtful)!r} counts as one class; where a comma separates labels, write | instead"]


def _from_flags(
    root: Path, content: pd.DataFrame, rows: pd.DataFrame, labels: list[str], notes: list[str], rule: str
) -> Found:
    """One column per class: as many labels per row as it likes, unless every row has exactly one."""
    numbers = [pd.to_numeric(content[name], errors="coerce") for name in labels]
    values = np.stack([column.to_numpy(dtype=np.float32, na_value=np.nan) for column in numbers], axis=1)
    odd = (content[labels].notna().to_numpy() & np.isnan(values)) | ~np.isin(np.nan_to_num(values), (-1.0, 0.0, 1.0))
    if odd.any():
        row, k = (int(place[0]) for place in np.nonzero(odd))
        raise WrongRequest(
            f"the label columns of a table hold 1, 0, -1 (uncertain) or nothing; {labels[k]} holds "
            f"{str(content[labels[k]].iloc[row])!r}. A column of class names is given alone: label: COLUMN"
        )
    exclusive = bool(((values == 1).sum(axis=1) == 1).all() and np.isin(values, (0.0, 1.0)).all())
    return Found(root, rows.assign(label=label_text(values, labels)), labels, values, exclusive, notes, rule)


def label_text(values: np.ndarray, labels: list[str]) -> list[str]:
    """The labels of each row as found, in words: what is present, and what is uncertain with a question mark."""
    marks = {1.0: "", -1.0: "?"}
    kinds, kind_of = np.unique(np.nan_to_num(values, nan=0.0), axis=0, return_inverse=True)
    texts = [
        "|".join(name + marks[value] for name, value in zip(labels, kind, strict=True) if value in marks)
        for kind in kinds.tolist()
    ]
    return [texts[kind] for kind in kind_of.reshape(-1).tolist()]
