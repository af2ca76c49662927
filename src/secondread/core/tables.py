"""The tables that steps hand to each other: their columns, and how they are read and written.

Labels are columns `y_<class>` (float32: 1 present, 0 absent, −1 uncertain, NaN not said; one-hot for exclusive
classes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import damaged, read_json, write_json, write_with

Task = Literal["binary", "multiclass", "multilabel"]
SPLITS = ("train", "val", "test")
UNLABELLED = "unlabelled"
"""The one class of images of which nothing is said; they can be audited, and nothing else."""

# gather/rows.parquet; also carries any further column the source has, prefixed `x_`
ROW_COLUMNS = {
    "row_id": "string",  # path relative to the source (+ #index for an entry of an npz or a frame): unique
    "path": "string",  # relative to the source's root
    "index": "int64",  # entry of an npz, frame of a DICOM file; -1: the file itself
    "content_id": "string",  # SHA-256 of the file's bytes; of the array's bytes for npz
    "label": "string",  # as found, before gather.labels
    "patient": "string",  # null when unknown
    "site": "string",
    "split_given": "string",  # train, val or test where the source says so
    "sex": "string",
    "age": "float64",
    "view": "string",
}
# prepare/rows.parquet adds
CLEAN_COLUMNS = {"group": "string", "duplicate_cluster": "string", "patient_known": "bool"}
# synthesize/rows.parquet: the columns of a clean row (path relative to the study's root) and
SYNTHETIC_COLUMNS = {"generator": "string", "target": "string", "repeat": "int64", "fold": "int64", "seed": "int64",
                     "copy_of": "string"}  # fmt: skip
SPLIT_COLUMNS = {"repeat": "int64", "fold": "int64", "row_id": "string", "split": "string"}
# balance/<arm>/r<r>f<k>.parquet
PLAN_COLUMNS = {
    "row_id": "string",
    "times": "int64",  # how often the row stands in one pass
    "sampling_weight": "float64",  # 1 everywhere: passes without replacement; else drawn with replacement in proportion
    "synthetic": "bool",
    "generator": "string",  # null for real rows
    "generator_seed": "int64",  # -1 for real rows; a trial uses the rows of one generator seed
}
# predict/<arm>/<model>/r<r>f<k>s<s>.parquet, then y_*, logit_*, p_*
PREDICTION_COLUMNS = {"row_id": "string", "content_id": "string", "patient": "string", "group": "string",
                      "split": "string", "arm": "string", "model": "string", "repeat": "int64", "fold": "int64",
                      "seed": "int64"}  # fmt: skip
SCORE_COLUMNS = ["arm", "model", "repeat", "fold", "seed", "split", "class", "metric", "value", "low", "high", "n",
                 "method"]  # fmt: skip
COMPARISON_COLUMNS = ["arm", "baseline", "model", "split", "metric", "difference", "low", "high", "p", "p_adjusted",
                      "n", "method", "verdict", "mde", "p_false_claim"]  # fmt: skip

NAMES = ("arm", "baseline", "model", "split", "class", "metric", "method", "verdict", "gan", "target", "extractor")
"""Columns of results that are text whatever stands in them: an arm may be called 64, a class NA."""
NUMBERS = ("value", "low", "high", "n", "difference", "p", "p_adjusted", "mde", "p_false_claim", "spread", "floor")
"""Columns of results in which a cell may hold no number."""


@dataclass(frozen=True)
class Dataset:
    """What gather understood (`gather/dataset.json`)."""

    task: Task
    classes: list[str]
    """Order of every `y_`, `logit_` and `p_` column; of two exclusive classes the second is the positive one."""
    root: str
    """Absolute folder of the source; rows' paths are relative to it."""
    source: str
    patient_rule: str
    """What names the patient, in words; empty when nothing does."""
    texts: dict[str, str]
    notes: list[str]
    """What was understood and decided, one line each, as echoed to the user."""


def write_dataset(dataset: Dataset, path: Path) -> None:
    write_json(path, asdict(dataset))


def read_dataset(path: Path) -> Dataset:
    """What gather understood; raises `BadData` when the file is damaged or of another version."""
    try:
        return Dataset(**read_json(path))
    except TypeError as error:
        raise damaged(path, error) from error


NO_LABELS = "no labels: "
"""How notes begin that say why."""


def forbid_unlabelled(dataset: Dataset) -> None:
    """Raise `BadData` for images without labels: a network would learn to say the one class of all of them."""
    if dataset.classes == [UNLABELLED]:
        raise BadData(
            f"nothing says what the images in {dataset.root} show: they can be audited, not learned from. "
            f"{why_unlabelled(dataset)}"
        )


def why_unlabelled(dataset: Dataset) -> str:
    """Why gather found no labels, if it said more than that; else what to do."""
    told = [note.removeprefix(NO_LABELS) for note in dataset.notes if note.startswith(NO_LABELS)]
    if len(told) > 1:  # the last one says what follows from it
        return told[0][:1].upper() + told[0][1:]
    return "Put them in folders named after their classes, or name a table of labels (gather.source)"


def write_table(table: pd.DataFrame, path: Path, columns: dict[str, str]) -> None:
    """Write a parquet file whose first columns are `columns`; the same table gives the same bytes."""
    fixed = table.copy()
    for name, kind in columns.items():
        if name not in fixed:
            raise BadData(f"{path.name}: the column {name!r} is missing")
        fixed[name] = fixed[name].astype(pd.api.types.pandas_dtype(kind))
    ordered = [*columns, *(name for name in fixed.columns if name not in columns)]
    arrow = pa.Table.from_pandas(fixed[ordered], preserve_index=False).replace_schema_metadata(None)
    write_with(path, lambda temporary: pq.write_table(arrow, temporary, compression="zstd"))


def read_table(path: Path) -> pd.DataFrame:
    """A table written by `write_table`; raises `BadData` when it cannot be read."""
    try:
        with open(path, "rb") as opened:  # of a folder of that name Arrow would read all files, or none
            table: pd.DataFrame = pq.read_table(opened).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error
    return table


def read_csv(path: Path, **how: Any) -> pd.DataFrame:
    """A table that a step has left, read as pandas is told; raises `BadData` when it cannot be read."""
    try:
        table: pd.DataFrame = pd.read_csv(path, **how)
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error
    return table


def write_csv(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> None:
    write_with(path, lambda temporary: table[list(columns)].to_csv(temporary, index=False))


def read_results(path: Path) -> pd.DataFrame:
    """A table of results (scores.csv and its like): names are text, and no number is NaN."""
    no_number = {name: ["", "nan", "NaN"] for name in NUMBERS}
    return read_csv(path, dtype=dict.fromkeys(NAMES, str), keep_default_na=False, na_values=no_number)


def labels_of(table: pd.DataFrame, classes: Sequence[str], prefix: str = "y_") -> NDArray[np.float32]:
    """Columns `<prefix><class>` as an array [N, K]."""
    return table[[prefix + name for name in classes]].to_numpy(dtype=np.float32)


def with_columns(table: pd.DataFrame, classes: Sequence[str], values: NDArray[Any], prefix: str) -> pd.DataFrame:
    """`table` with columns `<prefix><class>` from an array [N, K]."""
    made = pd.DataFrame({prefix + name: values[:, k] for k, name in enumerate(classes)}, index=table.index)
    return pd.concat([table, made], axis=1)


def known_labels(labels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Labels for statistics: 1 and 0 stay, uncertain (−1) becomes NaN."""
    return np.where(labels < 0, np.nan, labels).astype(np.float32)
