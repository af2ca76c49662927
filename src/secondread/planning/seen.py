"""What a plan is made from: the audit of the data, told in the few facts that the rules ask for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.tables import UNLABELLED, Dataset, Task, read_dataset, why_unlabelled
from secondread.prepare.audit import FIRES, Audited
from secondread.prepare.report import looked_into, name_of


@dataclass(frozen=True)
class Seen:
    """A data set as the rules see it. Patients stand for groups: duplicates count as one where nobody is named."""

    name: str
    root: str
    layout: str
    patient_rule: str
    task: Task
    images: Mapping[str, int]
    """By class: readable images."""
    patients: Mapping[str, int]
    """By class: patients, or groups of duplicates where patients are not named."""
    count: int
    """Readable images."""
    copies: int = 0
    """Exact copies among them, beyond one of each."""
    side: int = 224
    """Median of the images' shorter sides, in pixels."""
    aspects: float = 1.0
    """The 95th percentile of width to height over the 5th."""
    given: Mapping[str, int] = field(default_factory=dict)
    """Images by the split that folders or columns give."""
    given_test: Mapping[str, int] = field(default_factory=dict)
    """By class: patients of the given test part."""
    findings: frozenset[str] = frozenset()
    """Codes of the audit's findings."""
    file_facts_tell: bool = False
    """Sizes and formats of files alone tell the classes apart (without their names)."""

    @property
    def rarest(self) -> str:
        return min(self.patients, key=lambda name: self.patients[name])


def seen_in(data: Path) -> Seen:
    """Look at a folder, table, npz file or DICOM tree. Raises `BadData` when it cannot be learned from."""
    found, where = looked_into(data)
    dataset = read_dataset(where.dataset)
    if dataset.classes == [UNLABELLED]:
        raise BadData(f"{data}: nothing says what the images show. {why_unlabelled(dataset)}")
    if len(dataset.classes) < 2 and dataset.task != "multilabel":
        raise BadData(f"{data}: all images are of one class ({dataset.classes[0]}): there is nothing to tell apart")
    return _seen(data, found, dataset)


def _seen(data: Path, found: Audited, dataset: Dataset) -> Seen:
    m = found.material
    kept = m.readable & m.rows["dropped"].isna().to_numpy()
    rows, labels, facts = m.rows[kept], m.labels[kept] == 1, m.seen.facts[kept]
    if not len(rows):
        raise BadData(f"{data}: no image could be read")
    width, height = facts["width"].to_numpy(dtype=float), facts["height"].to_numpy(dtype=float)
    low, high = np.percentile(width / height, [5, 95])
    test = (rows["split_given"] == "test").to_numpy()
    bare = found.probes.get("metadata", {}).get("without_names") or {}
    return Seen(
        name=name_of(data.resolve()),
        root=_root(data.resolve()),
        layout=_noted(dataset, "layout: "),
        patient_rule=dataset.patient_rule,
        task=dataset.task,
        images={name: int(labels[:, k].sum()) for k, name in enumerate(m.classes)},
        patients=_patients(rows, labels, m.classes),
        count=len(rows),
        copies=len(rows) - int(rows["content_id"].nunique()),
        side=int(np.median(np.minimum(width, height))),
        aspects=float(high / low),
        given={str(name): int(count) for name, count in rows["split_given"].value_counts().items()},
        given_test=_patients(rows[test], labels[test], m.classes),
        findings=frozenset(one.code for one in found.found),
        file_facts_tell=bool(bare.get("auroc") is not None and bare["low"] >= FIRES["metadata"]),
    )


def _root(data: Path) -> str:
    """Relative to $SECONDREAD_DATA where it lies in there: another machine then finds its own."""
    base = os.environ.get("SECONDREAD_DATA")
    inside = bool(base) and data.is_relative_to(Path(str(base)).resolve())
    return data.relative_to(Path(str(base)).resolve()).as_posix() if inside else str(data)


def _patients(rows: pd.DataFrame, labels: NDArray[np.bool_], classes: Sequence[str]) -> dict[str, int]:
    return {name: int(rows["group"][labels[:, k]].nunique()) for k, name in enumerate(classes)}


def _noted(dataset: Dataset, beginning: str) -> str:
    return next((note.removeprefix(beginning) for note in dataset.notes if note.startswith(beginning)), "")
