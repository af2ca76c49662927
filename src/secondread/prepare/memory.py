"""What was measured of every image, kept by content so that no image is ever measured twice.

Two files in the cache folder: `facts-….parquet` and, row for row, `facts-….npy` with the small pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import why_unwritten, write_with
from secondread.core.progress import progress
from secondread.images.decode import DECODER_VERSION
from secondread.images.decode_pool import Crash, in_processes
from secondread.prepare.seen import SIDE, Frames, Job, Seen, look

VERSION = 1
CHUNK = 64


@dataclass(frozen=True)
class Measured:
    """Measurements in the order of the rows asked for: `facts` one row each, `small` uint8 [N, 128, 128]."""

    facts: pd.DataFrame
    small: NDArray[np.uint8]

    @classmethod
    def nothing(cls, rows: pd.DataFrame) -> Measured:
        """No measurement at all, for studies that ask for no check that looks at images."""
        told = rows["content_id"].isna().map({True: "unreadable", False: ""})
        facts = pd.DataFrame({"content_id": rows["content_id"], "refused": told, "reason": told})
        return cls(facts, np.zeros((0, SIDE, SIDE), np.uint8))

    @property
    def looked(self) -> bool:
        """Whether images were looked at."""
        return "width" in self.facts

    def __len__(self) -> int:
        return len(self.facts)


def measured(rows: pd.DataFrame, root: Path, folder: Path, frames: Frames) -> Measured:
    """Measure the rows' images on all cores, except those that the folder remembers."""
    stem = f"facts-{VERSION}-{DECODER_VERSION}-{frames}"
    table, pictures = folder / f"{stem}.parquet", folder / f"{stem}.npy"
    known, small = _remembered(table, pictures)
    ids = rows["content_id"]
    new = rows[ids.notna() & ~ids.isin(known["content_id"])].drop_duplicates("content_id")
    if len(new):
        known, small = _extended(known, small, new, root, frames)
        write_with(pictures, lambda path: _save(path, small))
        write_with(table, lambda path: pq.write_table(pa.Table.from_pandas(known, preserve_index=False), path))
    place = pd.Series(np.arange(len(known)), index=known["content_id"])
    at = place.reindex(ids).to_numpy()
    missing = np.isnan(at)
    facts = known.iloc[np.where(missing, 0, at).astype(np.int64)].reset_index(drop=True) if len(known) else known
    if missing.any():
        facts = facts.reindex(range(len(rows)))
        facts.loc[missing, ["refused", "reason"]] = ["unreadable", "the file cannot be read"]
    return Measured(facts, small[np.where(missing, 0, at).astype(np.int64)] if len(small) else small)


def _remembered(table: Path, pictures: Path) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    """What is known already; nothing when the two files do not fit each other (a killed run)."""
    nothing = pd.DataFrame({"content_id": pd.Series(dtype="string")}), np.zeros((0, SIDE, SIDE), np.uint8)
    if not (table.exists() and pictures.exists()):
        return nothing
    try:
        known, small = pq.read_table(table).to_pandas(), np.load(pictures, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, pa.ArrowException):
        return nothing
    return (known, small) if len(known) == len(small) else nothing


def _extended(
    known: pd.DataFrame, small: NDArray[np.uint8], new: pd.DataFrame, root: Path, frames: Frames
) -> tuple[pd.DataFrame, NDArray[np.uint8]]:
    jobs = [Job(root / path, int(index), frames) for path, index in zip(new["path"], new["index"], strict=True)]
    facts: list[dict[str, Any]] = [{}] * len(jobs)
    pictures = np.zeros((len(jobs), SIDE, SIDE), np.uint8)
    with progress("audit", len(jobs)) as shown:
        for start, results in _looked(jobs):
            for k, result in enumerate(results):
                facts[start + k] = _facts(result)
                if isinstance(result, Seen):
                    pictures[start + k] = result.small
            shown.advance(len(results))
    made = pd.DataFrame(facts).assign(content_id=new["content_id"].to_numpy())
    if "phash" in made:
        for name in ("phash", "phash_mirrored"):
            made[name] = made[name].astype("UInt64")
    return pd.concat([known, made], ignore_index=True), np.concatenate([small, pictures])


def _looked(jobs: Sequence[Job]) -> Iterator[tuple[int, Sequence[Seen | Crash]]]:
    """Files by all cores; entries of an npz here, in one stream."""
    start = 0
    while start < len(jobs):
        inside = jobs[start].index >= 0 and jobs[start].path.suffix.lower() == ".npz"
        end = start + 1
        while end < len(jobs) and (
            jobs[end].path == jobs[start].path if inside else jobs[end].path.suffix.lower() != ".npz"
        ):
            end += 1
        if inside:
            for first in range(start, end, 4096):
                yield first, look(jobs[first : min(first + 4096, end)])
        else:
            for first, results in in_processes(look, jobs[start:end], chunk=CHUNK, few=CHUNK):
                yield start + first, results
        start = end


def _facts(result: Seen | Crash) -> dict[str, Any]:
    if isinstance(result, Seen):
        return result.facts
    return {"refused": "crash", "reason": "the file brings its decoder down"}


def _save(path: Path, small: NDArray[np.uint8]) -> None:
    try:
        with open(path, "wb") as opened:
            np.save(opened, small, allow_pickle=False)
    except OSError as error:
        raise BadData(f"cannot write {path}: {why_unwritten(error, path)}") from error
