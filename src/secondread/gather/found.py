"""What a source found, before labels are merged and patients recognised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.tables import UNLABELLED
from secondread.gather.files import Listing, split_of

MOST_CLASSES = 60
"""More of them are, in folders and tables alike, hardly meant as classes."""
FACTS = ("patient", "site", "split_given", "sex", "age", "view")


@dataclass(frozen=True)
class Found:
    """Rows with `row_id`, `path` (relative to `root`), `index`, `label` and as many of `FACTS` as the source tells."""

    root: Path
    rows: pd.DataFrame
    classes: list[str]
    values: NDArray[np.float32]
    """[N, K] in the order of `classes`: 1 present, 0 absent, -1 uncertain, NaN not said."""
    exclusive: bool
    """Whether exactly one class holds per row."""
    notes: list[str] = field(default_factory=list)
    patient_rule: str = ""
    """What names the patient where the source itself says so."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Of a table: the column of `rows` into which each of its own columns went, where that is called otherwise."""

    def keep(self, wanted: NDArray[np.bool_], *notes: str) -> Found:
        """The rows where `wanted`, with further notes."""
        rows = self.rows[wanted].reset_index(drop=True)
        return replace(self, rows=rows, values=self.values[wanted], notes=[*self.notes, *notes])


def one_class_per_row(root: Path, rows: pd.DataFrame, notes: Sequence[str] = (), patient_rule: str = "") -> Found:
    """Rows whose `label` is their one class; classes in alphabetical order."""
    classes = sorted(rows["label"].unique())
    codes = pd.Categorical(rows["label"], categories=classes).codes
    values = np.zeros((len(rows), len(classes)), dtype=np.float32)
    values[np.arange(len(rows)), codes] = 1.0
    return Found(root, rows, classes, values, True, list(notes), patient_rule)


def of_present_classes(found: Found) -> Found:
    """Without the exclusive classes that no row is left of."""
    present = (found.values == 1.0).any(axis=0)
    if not found.exclusive or present.all():
        return found
    classes = [name for name, there in zip(found.classes, present, strict=True) if there]
    return replace(found, classes=classes, values=found.values[:, present])


def unlabelled(there: Listing, notes: Sequence[str]) -> Found:
    """Images of which nothing says what they show."""
    rows = pd.DataFrame({"row_id": there.images, "path": there.images, "index": -1, "label": UNLABELLED})
    rows["split_given"] = [split_of(path) for path in there.images]
    return one_class_per_row(there.root, rows, notes)


def many_classes_per_row(
    root: Path, rows: pd.DataFrame, present: Sequence[set[str]], notes: Sequence[str] = (), patient_rule: str = ""
) -> Found:
    """Rows with the set of classes that each has; every other class is absent."""
    classes = sorted(set().union(*present)) if len(present) else []
    place = {name: k for k, name in enumerate(classes)}
    values = np.zeros((len(rows), len(classes)), dtype=np.float32)
    for row, names in enumerate(present):
        for name in names:
            values[row, place[name]] = 1.0
    return Found(root, rows, classes, values, False, list(notes), patient_rule)
