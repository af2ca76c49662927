"""Rows of one set in the classes of another: an external set in the study's, images to prove a bundle by in its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.tables import Dataset, Task


@dataclass(frozen=True)
class Gathered:
    rows: pd.DataFrame
    dataset: Dataset
    values: NDArray[np.float32]


def aligned(found: Gathered, classes: Sequence[str], task: Task, what: str, how: str = "gather.labels") -> Gathered:
    """The rows with the labels `classes` of a task, names matched whatever their case; what is not said stays unsaid.

    Raises `BadData`, which calls the set `what` and says `how` classes are mapped, when no class is shared; where
    classes exclude each other also when one is not among them, or a row has none or several.
    """
    known = found.dataset.classes
    place = {name: at for at, name in enumerate(_as_called(known, classes))}
    if not set(place) & set(classes):
        raise BadData(
            f"{what}: none of its classes ({', '.join(known)}) is one of {', '.join(classes)}: map them with {how}"
        )
    exclusive = task != "multilabel"
    if exclusive and (unknown := [known[at] for name, at in place.items() if name not in classes]):
        raise BadData(f"{what}: class {unknown[0]!r} is none of {', '.join(classes)}: map it with {how}")
    missing = 0.0 if exclusive else np.nan
    columns = [found.values[:, place[one]] if one in place else np.full(len(found.rows), missing) for one in classes]
    values = np.stack(columns, axis=1).astype(np.float32)
    if exclusive and not ((values == 1).sum(axis=1) == 1).all():
        raise BadData(f"{what}: there are rows with none or several of the classes, which exclude each other here")
    return Gathered(found.rows, replace(found.dataset, classes=list(classes), task=task), values)


def _as_called(known: Sequence[str], classes: Sequence[str]) -> list[str]:
    """Names that differ from one of `classes` by case, spaces, dashes or underscores alone, as that one writes them."""
    plain = {_plain(name): name for name in classes}
    renamed = [name if name in classes else plain.get(_plain(name), name) for name in known]
    if len(set(renamed)) < len(renamed) or len(plain) < len(classes):
        return list(known)
    return renamed


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter not in " -_")
