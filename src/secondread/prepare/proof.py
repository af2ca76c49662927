"""The proof written beside a split: that no patient, duplicate or content crosses it, and how balanced it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from secondread.core.errors import BadData, Leak
from secondread.core.tables import SPLITS, labels_of


def prove(
    rows: pd.DataFrame,
    splits: pd.DataFrame,
    classes: Sequence[str],
    *,
    leaky: bool,
    patients_known: bool,
    exclusive: bool = True,
) -> dict[str, Any]:
    """What `split_proof.json` holds.

    Raises `Leak` when a group crosses a split that does not own up to it, and `BadData` when a part is empty or, of
    `exclusive` classes, one is absent where the model learns (train) or is chosen (val).
    """
    told: list[dict[str, Any]] = []
    notes: list[str] = []
    indexed = rows.set_index("row_id", drop=False)
    for repeat, fold in sorted(set(zip(splits["repeat"].tolist(), splits["fold"].tolist(), strict=True))):
        part = splits[(splits["repeat"] == repeat) & (splits["fold"] == fold)]
        own = indexed.loc[part["row_id"]].reset_index(drop=True)
        split = part["split"].reset_index(drop=True)
        crossing = {name: _crossing(own[name], split) for name in ("group", "patient", "content_id")}
        if crossing["group"] and not leaky:
            raise Leak(f"repeat {repeat}, fold {fold}: {crossing['group']} groups stand on both sides of the split")
        counts = {
            name: {"images": int((split == name).sum()), "groups": int(own.loc[split == name, "group"].nunique()),
                   "positive": _positive(own[split == name], classes)}
            for name in SPLITS
        }  # fmt: skip
        notes += _lacking(counts, classes, f"repeat {repeat}, fold {fold}", exclusive)
        told.append({"repeat": int(repeat), "fold": int(fold), "crossing": crossing, "splits": counts,
                     "balance": _imbalance(counts, classes)})  # fmt: skip
    return {
        "leaky": leaky,
        "stamp": "LEAKY PROTOCOL" if leaky else "",
        "patients_known": patients_known,
        "disjoint": not any(one["crossing"]["group"] for one in told),
        "parts": told,
        "notes": list(dict.fromkeys(notes)),
    }


def _crossing(names: pd.Series, split: pd.Series) -> int:
    """How many names stand in more than one split."""
    known = names.notna()
    pairs = pd.DataFrame({"name": names[known], "split": split[known]}).drop_duplicates()
    return int((pairs["name"].value_counts() > 1).sum())


def _positive(part: pd.DataFrame, classes: Sequence[str]) -> dict[str, int]:
    present = labels_of(part, classes) == 1.0
    return {name: int(count) for name, count in zip(classes, present.sum(axis=0), strict=True)}


def _lacking(counts: dict[str, Any], classes: Sequence[str], where: str, exclusive: bool) -> list[str]:
    notes: list[str] = []
    for name, told in counts.items():
        if not told["images"]:
            raise BadData(f"{where}: the {name} part is empty; set larger shares (prepare.split)")
        absent = ", ".join([one for one in classes if not told["positive"][one]][:6])
        if absent and exclusive and name != "test":
            raise BadData(
                f"{where}: the {name} part has no image of {absent}, so nothing can be learnt or chosen there; "
                "add patients of it, merge or leave out the class (gather.labels), or ask for fewer folds"
            )
        if absent:
            notes.append(f"{where}: the {name} part has no image of {absent}")
    return notes


def _imbalance(counts: dict[str, Any], classes: Sequence[str]) -> float:
    """Largest difference of a class's share between a split and all of them together, in percentage points."""
    sizes = np.array([counts[name]["images"] for name in SPLITS], dtype=float)
    positive = np.array([[counts[name]["positive"][one] for one in classes] for name in SPLITS], dtype=float)
    shares = positive / np.maximum(sizes, 1)[:, None]
    overall = positive.sum(axis=0) / max(sizes.sum(), 1)
    return round(float(np.abs(shares - overall).max() * 100), 2)
