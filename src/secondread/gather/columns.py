"""What the columns of a table are for, inferred from their names and contents, and told to the user."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from secondread.core.errors import BadData, WrongRequest
from secondread.gather.files import SPLIT_FOLDERS
from secondread.gather.finder import FileFinder

NAMES = {
    "label": r"(label|labels|class|classes|target|diagnosis|finding|findings|finding_labels?|category|dx|y|disease)",
    "patient": r"(patient|patient_?ids?|patient_?number|subject|subject_?id|pid|patientname)",
    "split": r"(split|fold_?name|set|subset|partition|usage|part)",
    "sex": r"(sex|gender|patient_(sex|gender))",
    "age": r"(age|patient_?age|age_years)",
    "view": r"(view|view_?position|projection|orientation|ap_pa)",
    "site": r"(site|hospital|institution|institution_?name|center|centre|source|scanner|manufacturer|vendor)",
}
NO_FINDING = {"no finding", "no findings", "none", "normal", "no_finding", "nofinding", ""}
SEPARATORS = ("|", ";")
LABEL_VALUES = {-1.0, 0.0, 1.0}


class NamesNoFile(BadData):
    """A table of which no column names image files."""


@dataclass(frozen=True)
class Roles:
    """The column of each role; `labels` holds one column of class names, or one column per class."""

    path: str
    labels: list[str]
    flags: bool = False
    """Whether each of `labels` is a class that holds 1, 0, -1 or nothing."""
    patient: str | None = None
    split: str | None = None
    sex: str | None = None
    age: str | None = None
    view: str | None = None
    site: str | None = None
    files: list[str | None] = field(default_factory=list, repr=False)
    """The file of each row of the table, null where there is none."""
    doubts: list[str] = field(default_factory=list)
    """Columns that might have been meant too, for people."""

    @property
    def note(self) -> str:
        told = [f"path = {self.path}", f"label = {_few(self.labels)}"]
        told += [f"{role} = {name}" for role in ("patient", "split", "sex", "age", "view", "site")
                 if (name := getattr(self, role))]  # fmt: skip
        return "columns: " + ", ".join(told)

    @property
    def columns(self) -> dict[str, str]:
        """Where each column goes that the rows have under another name."""
        roles = {"path": self.path, "patient": self.patient, "split_given": self.split, "sex": self.sex,
                 "age": self.age, "view": self.view, "site": self.site}  # fmt: skip
        return {name: role for role, name in roles.items() if name}

    @property
    def taken(self) -> set[str]:
        return {
            self.path,
            *self.labels,
            *filter(None, [self.patient, self.split, self.sex, self.age, self.view, self.site]),
        }


def infer_roles(
    table: pd.DataFrame, images: Sequence[str], beside: str, given: Mapping[str, str | list[str] | None]
) -> Roles:
    """The role of each column; `given` ones win. Raises `WrongRequest` for a column that is not there.

    `images` are the image files (relative), `beside` the folder of the table relative to the same root.
    """
    for name in [n for value in given.values() for n in (value if isinstance(value, list) else [value]) if n]:
        if name not in table:
            raise WrongRequest(f"the table has no column {name!r}. Columns: {', '.join(table.columns)}")
    path, files = _path_column(table, images, beside, given.get("path"))
    found: dict[str, str | None] = {}
    free = [name for name in table.columns if name != path]
    for role in ("patient", "split", "sex", "age", "view", "site"):
        asked = given.get(role)
        found[role] = str(asked) if asked else next((name for name in free if fits(role, name, table[name])), None)
        free = [name for name in free if name != found[role]]
    asked_labels, doubts = given.get("label"), _unknown_splits(table[free])
    if asked_labels:
        labels = asked_labels if isinstance(asked_labels, list) else [asked_labels]
    else:
        labels, others = _label_columns(table[free])
        doubts += others
    flags = isinstance(asked_labels, list) or len(labels) > 1 or _is_doubted(labels[0], table[labels[0]])
    return Roles(path=path, labels=labels, flags=flags, files=files, doubts=doubts, **found)


def _path_column(
    table: pd.DataFrame, images: Sequence[str], beside: str, asked: str | list[str] | None
) -> tuple[str, list[str | None]]:
    """The column that names files, and the file of each row."""
    finder = FileFinder(images, beside)
    candidates = [str(asked)] if asked else [n for n in table.columns if not pd.api.types.is_float_dtype(table[n])]
    best: tuple[int, str, list[str | None]] = (0, "", [])
    for name in candidates:
        files = finder.find_all(table[name].astype("string").fillna("").tolist())
        hits = sum(file is not None for file in files)
        distinct = len({file for file in files if file})
        if distinct > best[0] and (asked or distinct >= 0.5 * hits):
            best = (distinct, name, files)
    if not best[0]:
        raise NamesNoFile(
            "no column of the table names the image files by path or name"
            + (f" (first value of {asked!r}: {table[str(asked)].iloc[0]!r})" if asked else "; set path: COLUMN")
        )
    return best[1], best[2]


def fits(role: str, name: str, column: pd.Series) -> bool:
    """Whether a column is called like a role and holds what that role does."""
    if not _called(role, name):
        return False
    if role == "split":
        told = words(column).dropna().str.lower().unique()
        return len(told) > 0 and set(told) <= set(SPLIT_FOLDERS)
    if role == "age":
        return bool(ages(column).notna().any())
    return bool(column.notna().any())


def _called(role: str, name: str) -> bool:
    return re.fullmatch(NAMES[role], re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")) is not None


def words(column: pd.Series) -> pd.Series:
    """A column as text without spaces around it, null where it says nothing; 12, not 12.0, where numbers have gaps."""
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    text = column.astype("string").str.strip()
    return text.mask(text == "")


def ages(column: pd.Series) -> pd.Series:
    """Years as numbers; `054Y`, `6M` and the like are read."""
    text = column.astype("string").str.strip().str.upper()
    parts = text.str.extract(r"^0*(\d+(?:\.\d+)?)\s*([YMWD]?)$")
    years = pd.to_numeric(parts[0], errors="coerce")
    scale = parts[1].map({"M": 1 / 12, "W": 1 / 52.18, "D": 1 / 365.25}).fillna(1.0)
    return (years * scale).astype("float64")


def _label_columns(free: pd.DataFrame) -> tuple[list[str], list[str]]:
    """A column that is called like a label, else every column that holds nothing but 1, 0, -1 and gaps; and doubts."""
    names = [str(name) for name in free.columns]
    named = [name for name in names if fits("label", name, free[name]) and not _is_measure(free[name])]
    named = [name for name in named if not _is_prose(free[name])] or named
    if named:  # beside another, y is a coordinate
        chosen = next((name for name in named if name.lower() != "y"), named[0])
        return [chosen], _other_labels([name for name in named if name != chosen and name.lower() != "y"])
    flags = [name for name in names if _is_flag(free[name])]
    if flags:
        return flags, []
    words = [name for name in names if free[name].dtype == object or pd.api.types.is_string_dtype(free[name])]
    few = [name for name in words if 2 <= free[name].nunique() <= min(20, max(2, len(free) // 3))]
    if few:
        return few[:1], _other_labels(few[1:])
    raise BadData(f"no column of the table looks like a label; set label: COLUMN. Columns: {', '.join(free.columns)}")


def _other_labels(names: Sequence[str]) -> list[str]:
    if not names:
        return []
    return [f"further columns that may be labels were passed over: {_few(names)}; to take another, label: COLUMN, or "
            "several that hold 1 and 0, label: [COLUMN, COLUMN]"]  # fmt: skip


def _unknown_splits(free: pd.DataFrame) -> list[str]:
    """Columns of splits one of whose parts has a name that is not known."""
    doubts = []
    for name in free.columns:
        if not _called("split", str(name)):
            continue
        told = set(words(free[name]).dropna().str.lower())
        if told & set(SPLIT_FOLDERS) and (unknown := sorted(told - set(SPLIT_FOLDERS))):
            doubts.append(f"the column {name} was not taken for a split, since it says {unknown[0]!r}; known are "
                          f"{', '.join(SPLIT_FOLDERS)}")  # fmt: skip
    return doubts


def _is_flag(column: pd.Series) -> bool:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() == 0 or (column.notna() & numbers.isna()).any():
        return False
    return set(np.unique(numbers.dropna())) <= LABEL_VALUES


def _is_doubted(name: str, column: pd.Series) -> bool:
    """Whether a column called after a finding says yes, no and uncertain of it."""
    return not fits("label", name, column) and _is_flag(column) and set(column.dropna().astype(float)) == LABEL_VALUES


def separator_of(text: pd.Series) -> str | None:
    """The sign that separates several labels in one cell."""
    return next((sign for sign in SEPARATORS if text.str.contains(sign, regex=False).any()), None)


def separated(text: pd.Series, sign: str) -> list[set[str] | None]:
    """The labels in each cell, without 'No Finding'; where some cells say that, an empty one says nothing (None)."""
    cells = [{name.strip() for name in value.split(sign)} - {""} for value in text.fillna("")]
    told = [{name for name in names if name.lower() not in NO_FINDING} for names in cells]
    none_said = any(names and not left for names, left in zip(cells, told, strict=True))
    return [None if none_said and not names else left for names, left in zip(cells, told, strict=True)]


def kinds_of(column: pd.Series) -> int:
    """How many different labels a column holds."""
    text = words(column).dropna()
    sign = separator_of(text)
    return int((text.str.split(sign, regex=False).explode().str.strip() if sign else text).nunique())


def _is_prose(column: pd.Series) -> bool:
    """Nearly as many different values as rows describe images one by one; they name no class."""
    return kinds_of(column) > max(2, len(column) // 2)


def _is_measure(column: pd.Series) -> bool:
    """Numbers with fractions measure something; they name no class."""
    return bool(pd.api.types.is_float_dtype(column) and (column.dropna() % 1 != 0).any())


def _few(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
