"""CheXpert: `train.csv` and `valid.csv` with 14 observations that are 1, 0, -1 (uncertain) or not mentioned."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from secondread.core.errors import BadData
from secondread.core.registry import part
from secondread.core.spec import Gather
from secondread.gather.columns import ages
from secondread.gather.found import Found
from secondread.gather.table import label_text
from secondread.gather.table_files import read_table_file

OBSERVATIONS = [
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
]  # fmt: skip
TABLES = {"train.csv": "train", "valid.csv": "val", "test.csv": "test"}
PATIENT = r"(?:^|/)(patient\d+)/"


@part("sources", "chexpert")
def chexpert(
    root: Path, gather: Gather, /, *, views: Literal["frontal", "lateral", "all"] = "frontal", empty: float | None = 0.0
) -> Found:
    """CheXpert's tree; what is not mentioned counts as absent unless `empty: null` keeps it as not said."""
    tables = _tables(root)
    if not tables:
        raise BadData(f"{root} holds no CheXpert tables (train.csv, valid.csv)")
    parts, missing, passed = [], 0, 0
    for path in tables:
        content = read_table_file(path)
        content["split_given"] = TABLES[path.name]
        if "Path" not in content:
            raise BadData(f"{path.name} has no column Path")
        relative = _relative_paths(content["Path"].astype("string").fillna(""), path.parent, root)
        content["path"] = relative
        there = np.array([os.path.isfile(f"{root}/{file}") for file in relative], dtype=bool)
        missing += int((~there).sum())
        content = content[there]
        frontal = content.get("Frontal/Lateral", pd.Series("Frontal", index=content.index)) == "Frontal"
        wanted = frontal if views == "frontal" else ~frontal if views == "lateral" else frontal | True
        passed += int((~wanted).sum())
        parts.append(content[wanted])
    content = pd.concat(parts, ignore_index=True)
    if content.empty:
        raise BadData(f"none of the images that CheXpert's tables name is under {root}")
    return _found(root, content, empty, missing, f"{passed} images of other views than {views} left out")


def _tables(root: Path) -> list[Path]:
    """The tables in the folder, or in the one folder in it that has them."""
    for folder in [root, *sorted(path for path in root.iterdir() if path.is_dir())] if root.is_dir() else []:
        found = [folder / name for name in TABLES if (folder / name).is_file()]
        if found and "Path" in _header(found[0]):
            return found
    return []


def _header(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as opened:
            return [name.strip() for name in opened.readline(65536).split(",")]
    except OSError:
        return []


def _relative_paths(paths: pd.Series, folder: Path, root: Path) -> list[str]:
    """Paths relative to `root`; the tables write them with the name of the data set's folder in front."""
    inside = folder.relative_to(root).as_posix()
    prefix = "" if inside == "." else f"{inside}/"
    return [prefix + path.split("/", 1)[-1] if path.startswith("CheXpert") else prefix + path for path in paths]


def _found(root: Path, content: pd.DataFrame, empty: float | None, missing: int, passed: str) -> Found:
    classes = [name for name in OBSERVATIONS if name in content]
    raw = content[classes].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float32)
    values = raw if empty is None else np.where(np.isnan(raw), np.float32(empty), raw)
    rows = pd.DataFrame({"row_id": content["path"], "path": content["path"], "index": -1})
    rows["label"] = label_text(raw, classes)
    rows["patient"] = content["path"].str.extract(PATIENT, expand=True)[0]
    rows["split_given"] = content["split_given"]
    rows["sex"] = content["Sex"].astype("string") if "Sex" in content else None
    rows["age"] = ages(content["Age"]) if "Age" in content else np.nan
    rows["view"] = content["AP/PA"].astype("string") if "AP/PA" in content else None
    for k, name in enumerate(classes):
        rows[f"x_raw_{name}"] = raw[:, k]
    counts = {word: int(count) for word, count in (("1", (raw == 1).sum()), ("0", (raw == 0).sum()),
              ("-1", (raw == -1).sum()), ("empty", np.isnan(raw).sum()))}  # fmt: skip
    notes = [f"raw labels: {counts}; empty counts as {'not said' if empty is None else empty}", passed]
    if missing:
        notes.append(f"{missing} images that the tables name are not there")
    rows = rows.drop_duplicates("row_id")
    return Found(root, rows.reset_index(drop=True), classes, values[rows.index], False, notes, "CheXpert's folders")


def is_chexpert(root: Path) -> bool:
    return bool(_tables(root))
