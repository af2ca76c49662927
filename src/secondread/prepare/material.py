"""What the audit works on, and what a finding is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.tables import Task
from secondread.prepare.clean import Cleaned
from secondread.prepare.memory import Measured

Severity = Literal["info", "warning", "error"]
MOST_FILES = 400
TOGETHER = "they stay together on one side of every split"
LEFT_OUT = "left out (prepare/dropped.parquet)"


@dataclass(frozen=True)
class Finding:
    code: str
    severity: Severity
    message: str
    files: list[str] = field(default_factory=list)
    done: str = ""
    groups: list[list[str]] = field(default_factory=list)
    """Files that belong together, for showing them side by side."""

    def as_dict(self) -> dict[str, Any]:
        return {"code": self.code, "severity": self.severity, "message": self.message, "done": self.done,
                "files": self.files[:MOST_FILES], "count": len(self.files)}  # fmt: skip


@dataclass(frozen=True)
class Material:
    """Everything the findings are made from; rows, facts and small pictures in one order."""

    cleaned: Cleaned
    seen: Measured
    labels: NDArray[np.float32]
    classes: list[str]
    task: Task
    patient_rule: str
    drops_duplicates: bool = False
    notes: list[str] = field(default_factory=list)
    """How the data were understood, as gather says it."""

    @property
    def rows(self) -> pd.DataFrame:
        return self.cleaned.all

    @property
    def readable(self) -> NDArray[np.bool_]:
        return (self.seen.facts["refused"].fillna("") == "").to_numpy()

    @property
    def contents(self) -> pd.Series:
        """Content ids, null for what shows nothing: empty files are alike, and no duplicates of anything."""
        reasons = self.rows["dropped"].fillna("").astype(str)
        shown = self.readable & ~reasons.str.startswith("constant").to_numpy()
        return self.rows["content_id"].where(pd.Series(shown, index=self.rows.index))

    @property
    def exclusive(self) -> bool:
        return self.task != "multilabel"

    @cached_property
    def label_of(self) -> pd.Series:
        """The class of each row; for multi-label all its labels in one text."""
        names = np.array(self.classes, dtype=object)
        if self.exclusive:
            return pd.Series(names[self.labels.argmax(axis=1)], index=self.rows.index)
        kinds, kind_of = np.unique(self.labels == 1.0, axis=0, return_inverse=True)
        texts = np.array(["|".join(names[kind]) or "none" for kind in kinds], dtype=object)
        return pd.Series(texts[kind_of.reshape(-1)], index=self.rows.index)


def many(count: int, what: str) -> str:
    """`1 group`, `3 groups`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def grouped(names: pd.Series, rows: pd.DataFrame) -> list[list[int]]:
    """Places of the rows of every name that several rows have."""
    again = names.notna() & names.duplicated(keep=False)
    places = pd.Series(np.arange(len(rows)), index=rows.index)[again]
    return [sorted(group.tolist()) for _, group in places.groupby(names[again], sort=False)]


def files_of(rows: pd.DataFrame, groups: Sequence[Sequence[int]]) -> list[list[str]]:
    ids = rows["row_id"].tolist()
    return [[ids[place] for place in group] for group in groups]


def crossing(names: pd.Series, sides: pd.Series) -> list[str]:
    """Names that stand on several sides."""
    known = names.notna() & sides.notna()
    pairs = pd.DataFrame({"name": names[known], "side": sides[known]}).drop_duplicates()
    counts = pairs["name"].value_counts()
    return [str(name) for name in counts.index[counts > 1]]
