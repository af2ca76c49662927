"""From gathered rows to clean ones: what is left out and why, and which rows belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.spec import Prepare
from secondread.core.tables import labels_of
from secondread.prepare.groups import clusters, named_clusters, same
from secondread.prepare.memory import Measured
from secondread.prepare.near import NO_NEAR, Near, near_duplicates

CONSTANT_STD = 1.0
"""A small picture that varies less than this shows nothing."""


@dataclass(frozen=True)
class Cleaned:
    """All gathered rows with what became of them.

    `all` has the columns of a clean row plus `dropped` (the reason, null where a row stays); `near` holds places in it.
    """

    all: pd.DataFrame
    near: Near

    @property
    def kept(self) -> pd.DataFrame:
        return self.all[self.all["dropped"].isna()].drop(columns="dropped").reset_index(drop=True)

    @property
    def dropped(self) -> pd.DataFrame:
        return self.all[self.all["dropped"].notna()].rename(columns={"dropped": "reason"}).reset_index(drop=True)


def cleaned(rows: pd.DataFrame, seen: Measured, classes: Sequence[str], asked: Prepare) -> Cleaned:
    """Group the rows (patient, same bytes, same pixels, near duplicates) and mark those that are left out."""
    facts = seen.facts
    refused = facts["refused"].fillna("") != ""
    spread = facts["small_std"].fillna(0.0) if seen.looked else pd.Series(CONSTANT_STD, index=facts.index)
    constant = ~refused & (spread < CONSTANT_STD)
    telling = np.flatnonzero((~refused & ~constant).to_numpy())
    near = _near(seen, telling) if "near_duplicates" in asked.checks and seen.looked else NO_NEAR
    content = rows["content_id"].where((~refused & ~constant).set_axis(rows.index))
    same_image = [same(content), near.pairs]
    if seen.looked:
        same_image.append(same(facts["pixel_id"].where(~refused & ~constant).astype("string")))
    duplicate = clusters(len(rows), same_image)
    together = clusters(len(rows), [*same_image, same(rows["patient"])])
    made = rows.copy()
    made["patient_known"] = rows["patient"].notna()
    made["duplicate_cluster"] = named_clusters(duplicate, rows["row_id"], "d:")
    made["group"] = named_clusters(together, rows["row_id"], "g:")
    made["dropped"] = _reasons(made, facts, refused, constant, labels_of(rows, classes), asked)
    return Cleaned(made, near)


def _near(seen: Measured, telling: NDArray[np.int64]) -> Near:
    """Near duplicates among the rows that show something, each content looked at once."""
    ids = seen.facts["content_id"].iloc[telling]
    first = telling[~ids.duplicated().to_numpy()]
    found = near_duplicates(
        seen.facts["phash"].iloc[first].to_numpy(dtype=np.uint64),
        seen.facts["phash_mirrored"].iloc[first].to_numpy(dtype=np.uint64),
        seen.small.at(first),
    )
    return Near(first[found.pairs], found.alike, found.kind)


def _reasons(
    rows: pd.DataFrame,
    facts: pd.DataFrame,
    refused: pd.Series,
    constant: pd.Series,
    labels: NDArray[np.float32],
    asked: Prepare,
) -> pd.Series:
    reasons = pd.Series([None] * len(rows), index=rows.index, dtype="object")
    if "unreadable" in asked.checks:
        reasons[constant] = "constant: every pixel has the same value"
    reasons[refused] = facts["refused"] + ": " + facts["reason"]
    if asked.drop_duplicates:
        left = reasons.isna()
        again = left & rows["content_id"].where(left).duplicated()
        reasons[again] = "duplicate: the same bytes as a row that stays"
        conflicting = left & rows["content_id"].isin(conflicting_contents(rows[left], labels[left.to_numpy()]))
        reasons[conflicting] = "label conflict: the same bytes have another label elsewhere"
    return reasons


def conflicting_contents(rows: pd.DataFrame, labels: NDArray[np.float32]) -> set[str]:
    """Contents that carry different labels in different rows."""
    again = rows["content_id"].duplicated(keep=False).to_numpy()
    text = pd.Series([row.tobytes() for row in labels[again]], index=rows.index[again], dtype=object)
    counts = text.groupby(rows["content_id"][again]).nunique()
    return set(counts.index[counts > 1])
