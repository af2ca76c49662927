"""Tables as programs write them: CSV of any separator, decimal sign and Unicode encoding, TSV, Parquet, Excel."""

from __future__ import annotations

import codecs
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from secondread.core.errors import BadData
from secondread.gather.columns import NAMES, fits

GAPS = ["", "NA", "N/A", "n/a", "#N/A", "#NA", "<NA>", "NaN", "nan", "-NaN", "-nan", "NULL", "null"]
"""What is read as nothing; not `None`, which many tables of tumours and findings have as a class."""
NAME_IN_DIGITS = r"\s*(0\d+|\d{16,})\s*"
DECIMAL_COMMA = r"\s*[+-]?\d+,\d+\s*"
HEAD = 65536
SEPARATORS = (",", ";", "\t")
SAYS_SEPARATOR = "sep="
"""Excel writes and obeys a first line that says what separates."""


def read_table_file(path: Path) -> pd.DataFrame:
    """A CSV, TSV, Parquet or Excel table, text columns as they stand; raises `BadData`."""
    try:
        if path.suffix.lower() == ".parquet":
            table = _of_parquet(path)
        elif path.suffix.lower() == ".xlsx":
            table = _without_none(pd.read_excel(path, keep_default_na=False, na_values=GAPS))
        else:
            table = _without_none(_of_text(path))
    except UnicodeError as error:
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


def _of_parquet(path: Path) -> pd.DataFrame:
    """A named index is a column like any other, and a list in a cell is several labels."""
    table = pd.read_parquet(path)
    if any(table.index.names):
        table = table.reset_index()
    for name in [name for name in table if table[name].dtype == object]:
        cells = table[name]
        several = cells.map(lambda cell: isinstance(cell, list | tuple | np.ndarray))
        table[name] = cells.where(~several, cells[several].map(lambda cell: "|".join(map(str, cell))))
    return table


def _of_text(path: Path) -> pd.DataFrame:
    """A CSV or TSV table; digits that no number keeps (zeros in front, sixteen and more) name something: text."""
    encoding = _encoding(path)
    separator, skipped = _separator(path, encoding)
    how: dict[str, Any] = {"encoding": encoding, "low_memory": False, "index_col": False, "keep_default_na": False,
                           "na_values": GAPS, "sep": separator, "skiprows": skipped}  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rows with a field too many; what they name is checked below
        table: pd.DataFrame = pd.read_csv(path, **how)
        text = pd.read_csv(path, dtype="string", **how)
    for name in table.select_dtypes("number").columns:
        if text[name].str.fullmatch(NAME_IN_DIGITS).any():
            table[name] = text[name].astype(object).where(text[name].notna(), None)
    return table if separator == "," else _with_decimal_commas(table, text)


def _with_decimal_commas(table: pd.DataFrame, text: pd.DataFrame) -> pd.DataFrame:
    """Where commas do not separate, 4,5 is a number, if its whole column is of numbers."""
    for name in table.columns:
        if not text[name].str.fullmatch(DECIMAL_COMMA).any():
            continue
        numbers = pd.to_numeric(text[name].str.replace(",", ".", regex=False), errors="coerce")
        if numbers.notna().equals(text[name].notna()):
            table[name] = numbers.astype("float64")
    return table


def _encoding(path: Path) -> str:
    """UTF-16 by its mark, or by the empty half of what Latin letters take in it; else UTF-8, perhaps with a mark."""
    with open(path, "rb") as opened:
        head = opened.read(4)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    return "utf-16-le" if head[1:2] == b"\0" else "utf-16-be" if head[:1] == b"\0" else "utf-8-sig"


def _separator(path: Path, encoding: str) -> tuple[str, int]:
    """What separates the columns, and how many lines stand before their names."""
    with open(path, encoding=encoding, errors="replace") as opened:
        head = opened.readline(HEAD)
    told = head.strip("\r\n")
    if told.lower().startswith(SAYS_SEPARATOR) and len(told) == len(SAYS_SEPARATOR) + 1:
        return told[-1], 1
    if path.suffix.lower() == ".tsv":
        return "\t", 0
    most = max(SEPARATORS, key=head.count)
    return ("|" if most not in head and "|" in head else most), 0  # beside others it separates labels


def _without_none(table: pd.DataFrame) -> pd.DataFrame:
    """`None` is a gap among numbers and names of patients, but a class in a column of class names."""
    for name in table.columns[(table == "None").any()]:
        rest = table[name].mask(table[name] == "None")
        simple = str(name).strip()
        if pd.to_numeric(rest, errors="coerce").notna().equals(rest.notna()):
            table[name] = pd.to_numeric(rest, errors="coerce")
        elif any(fits(role, simple, rest) for role in NAMES if role != "label"):
            table[name] = rest
    return table
