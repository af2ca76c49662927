"""What the columns of a table are for, inferred from their names and contents, and told to the user."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
GAPS = ["", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null"]
"""What is read as nothing; not `None`, which many tables of tumours and findings have as a class."""
LABEL_VALUES = {-1.0, 0.0, 1.0}
NAME_IN_DIGITS = r"\s*(0\d+|\d{16,})\s*"


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


def read_table_file(path: Path) -> pd.DataFrame:
    """A CSV, TSV, Parquet or Excel table, text columns as they stand; raises `BadData`."""
    try:
        if path.suffix.lower() == ".parquet":
            table = pd.read_parquet(path)
        elif path.suffix.lower() == ".xlsx":
            table = _without_none(pd.read_excel(path, keep_default_na=False, na_values=GAPS))
        else:
            table = _without_none(_of_text(path))
    except UnicodeDecodeError as error:
        raise BadData(
            f"the table {path} is not UTF-8: save it as such (in Excel as `CSV UTF-8`) or as .xlsx"
        ) from error
    except Exception as error:  # readers of three formats, any of which a damaged file can make raise anything
        raise BadData(f"cannot read the table {path}: {' '.join(str(error).split())[:160]}") from error
    table.columns = [str(name).strip() for name in table.columns]
    unnamed = [name for name in table.columns if name.startswith("Unnamed:") and table[name].isna().all()]
    if table.empty:
        raise BadData(f"the table {path} has no rows")
    if len(set(table.columns)) != len(table.columns):
        raise BadData(f"the table {path} has two columns of one name")
    return table.drop(columns=unnamed).reset_index(drop=True)


def _of_text(path: Path) -> pd.DataFrame:
    """A CSV or TSV table; digits that no number keeps (zeros in front, sixteen and more) name something: text."""
    how: dict[str, Any] = {"encoding": "utf-8-sig", "low_memory": False, "index_col": False, "keep_default_na": False,
                           "na_values": GAPS}  # fmt: skip
    how["sep"] = "\t" if path.suffix.lower() == ".tsv" else _separator(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows with a field too many; what they name is checked below
        table: pd.DataFrame = pd.read_csv(path, **how)
        text = pd.read_csv(path, dtype="string", **how)
    for name in table.select_dtypes("number").columns:
        if text[name].str.fullmatch(NAME_IN_DIGITS).any():
            table[name] = text[name].astype(object).where(text[name].notna(), None)
    return table


def _without_none(table: pd.DataFrame) -> pd.DataFrame:
    """`None` is a gap among numbers and names of patients, but a class in a column of class names."""
    for name in table.columns[(table == "None").any()]:
        rest = table[name].mask(table[name] == "None")
        simple = str(name).strip()
        if pd.to_numeric(rest, errors="coerce").notna().equals(rest.notna()):
            table[name] = pd.to_numeric(rest, errors="coerce")
        elif any(_fits(role, simple, rest) for role in NAMES if role != "label"):
            table[name] = rest
    return table


def _separator(path: Path) -> str:
    with open(path, encoding="utf-8-sig", errors="replace") as opened:
        head = opened.readline(65536)
    return max([",", ";", "\t"], key=head.count)


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
        found[role] = str(asked) if asked else next((name for name in free if _fits(role, name, table[name])), None)
        free = [name for name in free if name != found[role]]
    asked_labels = given.get("label")
    if asked_labels:
        labels = asked_labels if isinstance(asked_labels, list) else [asked_labels]
    else:
        labels = _label_columns(table[free])
    flags = isinstance(asked_labels, list) or len(labels) > 1 or _is_doubted(labels[0], table[labels[0]])
    return Roles(path=path, labels=labels, flags=flags, files=files, **found)


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


def _fits(role: str, name: str, column: pd.Series) -> bool:
    simple = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    if not re.fullmatch(NAMES[role], simple):
        return False
    if role == "split":
        told = words(column).dropna().str.lower().unique()
        return len(told) > 0 and set(told) <= set(SPLIT_FOLDERS)
    if role == "age":
        return bool(ages(column).notna().any())
    return bool(column.notna().any())


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


def _label_columns(free: pd.DataFrame) -> list[str]:
    """A column that is called like a label, else every column that holds nothing but 1, 0, -1 and gaps."""
    names = [str(name) for name in free.columns]
    named = [name for name in names if _fits("label", name, free[name]) and not _is_measure(free[name])]
    named = [name for name in named if not _is_prose(free[name])] or named
    if named:
        return [next((name for name in named if name.lower() != "y"), named[0])]  # beside another, y is a coordinate
    flags = [name for name in names if _is_flag(free[name])]
    if flags:
        return flags
    words = [name for name in names if free[name].dtype == object or pd.api.types.is_string_dtype(free[name])]
    few = [name for name in words if 2 <= free[name].nunique() <= min(20, max(2, len(free) // 3))]
    if few:
        return few[:1]
    raise BadData(f"no column of the table looks like a label; set label: COLUMN. Columns: {', '.join(free.columns)}")


def _is_flag(column: pd.Series) -> bool:
    numbers = pd.to_numeric(column, errors="coerce")
    if numbers.notna().sum() == 0 or (column.notna() & numbers.isna()).any():
        return False
    return set(np.unique(numbers.dropna())) <= LABEL_VALUES


def _is_doubted(name: str, column: pd.Series) -> bool:
    """Whether a column called after a finding says yes, no and uncertain of it."""
    return not _fits("label", name, column) and _is_flag(column) and set(column.dropna().astype(float)) == LABEL_VALUES


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
