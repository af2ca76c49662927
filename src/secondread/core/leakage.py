"""Rule 2: whatever was fitted keeps the list of contents it saw, and never meets one of them as a test row."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import Leak
from secondread.core.files import damaged, read_json, sha256_of_bytes, sha256_of_json, write_json


def write_contents(path: Path, content_ids: Iterable[str]) -> None:
    """Record the contents (SHA-256 of each image) that something was fitted on."""
    contents = sorted(set(content_ids))
    write_json(path, {"sha256": sha256_of_json(contents), "contents": contents})


def read_contents(path: Path) -> set[str]:
    try:
        return set(read_json(path)["contents"])
    except (TypeError, KeyError) as error:
        raise damaged(path, error) from error


def marks(content_ids: Iterable[str]) -> NDArray[np.uint64]:
    """[N]: 64 bits of the SHA-256 of each content id: enough to know an image again by, nothing to see it from.

    That two of a million different images share one has a chance of 3 in 100 million.
    """
    return np.array([int(sha256_of_bytes(one.encode())[:16], 16) for one in content_ids], dtype=np.uint64)


def forbid_overlap(fitted_on: Iterable[str], held_out: pd.DataFrame, rows: pd.DataFrame, what: str) -> None:
    """Raise `Leak` when `what` was fitted on a held-out row, on its duplicate or on its patient.

    `fitted_on` holds content ids, `held_out` the rows about to be judged, `rows` all clean rows of the study (with
    `group`: patient ∪ duplicate cluster).
    """
    seen = set(fitted_on)
    same = held_out["content_id"].isin(seen)
    groups = set(rows.loc[rows["content_id"].isin(seen), "group"])
    related = held_out["group"].isin(groups)
    met = held_out[same | related]
    if len(met):
        raise Leak(
            f"{what} was fitted on {int(same.sum())} of the rows it is to be judged on and on relatives of "
            f"{int((related & ~same).sum())} more (first: {met['row_id'].iloc[0]}). Fit it on training rows only."
        )
