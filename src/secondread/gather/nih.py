"""NIH ChestX-ray14: `Data_Entry_*.csv`, findings separated by `|`, patients by number, official lists of names."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from secondread.core.errors import BadData
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.gather.columns import ages, separated, words
from secondread.gather.files import Listing, listing
from secondread.gather.finder import FileFinder
from secondread.gather.found import Found, many_classes_per_row
from secondread.gather.table_files import read_table_file

LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
NEEDED = ("Image Index", "Finding Labels", "Patient ID")


@part("sources", "nih")
def nih(root: Path, gather: Gather, /) -> Found:
    """NIH ChestX-ray14's tree; `No Finding` is a row without labels."""
    return from_listing(listing(root))


def table_of(there: Listing) -> str | None:
    """NIH's table among the tables of a folder."""
    return next((name for name in there.tables if _is_nih(there.root / name)), None)


def from_listing(there: Listing) -> Found:
    name = table_of(there)
    if name is None:
        raise BadData(f"{there.root} holds no NIH table (Data_Entry_….csv with Image Index and Finding Labels)")
    content = read_table_file(there.root / name)
    if missing := [column for column in NEEDED if column not in content]:
        raise BadData(f"the NIH table {name} has no column {missing[0]!r}")
    finder = FileFinder(there.images, name.rsplit("/", 1)[0] if "/" in name else "")
    files = finder.find_all(content["Image Index"].astype("string").fillna("").tolist())
    there_is = np.array([file is not None for file in files], dtype=bool)
    notes = [f"table: {name}", *there.notes]
    if not there_is.any():
        raise BadData(f"none of the images that {name} names is under {there.root}")
    if not there_is.all():
        notes.append(f"{int((~there_is).sum())} images that the table names are not there")
    content = content[there_is].reset_index(drop=True)
    rows = _rows(content, [file for file in files if file], _official(there.root, name))
    present = separated(rows["label"], "|")
    said = np.array([names is not None for names in present], dtype=bool)
    if not said.all():
        notes.append(f"{int((~said).sum())} rows of the table have no label and were not gathered")
    rows, told = rows[said].reset_index(drop=True), [names for names in present if names is not None]
    return many_classes_per_row(there.root, rows, told, notes, "column Patient ID")


def _is_nih(path: Path) -> bool:
    if path.suffix.lower() != ".csv":
        return False
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as opened:
            head = opened.readline(65536)
    except OSError:  # a link that leads nowhere
        return False
    return all(name in head for name in NEEDED)


def _rows(content: pd.DataFrame, files: list[str], official: dict[str, str]) -> pd.DataFrame:
    rows = pd.DataFrame({"row_id": files, "path": files, "index": -1})
    rows["label"] = words(content["Finding Labels"])
    numbers, named = pd.to_numeric(content["Patient ID"], errors="coerce"), words(content["Patient ID"])
    rows["patient"] = named.where(numbers.isna(), numbers.astype("Int64").astype("string").str.zfill(8))
    rows["sex"] = words(content["Patient Gender"]) if "Patient Gender" in content else None
    rows["age"] = ages(content["Patient Age"]) if "Patient Age" in content else np.nan
    rows["view"] = words(content["View Position"]) if "View Position" in content else None
    rows["split_given"] = [official.get(str(name)) for name in content["Image Index"]]
    if "Follow-up #" in content:
        rows["x_follow_up"] = content["Follow-up #"]
    return rows


def _official(root: Path, table: str) -> dict[str, str]:
    folder = (root / table).parent
    return {
        line.strip(): split
        for name, split in LISTS.items()
        if (folder / name).is_file()
        for line in (folder / name).read_text(encoding="utf8", errors="replace").splitlines()
    }
