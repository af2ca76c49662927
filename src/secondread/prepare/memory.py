"""What was measured of every image, kept by content so that no image is ever measured twice.

In the cache folder, for every few thousand images, two files: `facts-….parquet` and, row for row, `facts-….npy` with
the small pictures. Each is written as soon as its images are measured: an audit that was killed goes on from there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import sha256_of_json, why_unwritten, write_with
from secondread.core.progress import progress
from secondread.images.decode import DECODER_VERSION, UNREADABLE
from secondread.images.decode_pool import Crash, in_processes
from secondread.prepare.seen import SIDE, Frames, Job, Seen, look, look_inside
from secondread.prepare.small import SmallPictures

VERSION = 1
CHUNK = 64
CRASH = {"refused": "crash", "reason": "the file brings its decoder down"}
OUT_OF_MEMORY = {"refused": "too_large", "reason": "decoding it takes more memory than this machine had"}
"""Of the machine as it was then, so not remembered: a later audit may have more."""
STRETCH = 4096
"""Images whose measurements are written together (their small pictures are 67 MB)."""


@dataclass(frozen=True)
class Measured:
    """Measurements in the order of the rows asked for: `facts` one row each, `small` uint8 [N, 128, 128]."""

    facts: pd.DataFrame
    small: SmallPictures

    @classmethod
    def nothing(cls, rows: pd.DataFrame) -> Measured:
        """No measurement at all, for studies that ask for no check that looks at images."""
        told = rows["content_id"].isna().map({True: UNREADABLE, False: ""})
        facts = pd.DataFrame({"content_id": rows["content_id"], "refused": told, "reason": told})
        return cls(facts, SmallPictures.none())

    @property
    def looked(self) -> bool:
        """Whether images were looked at."""
        return "width" in self.facts

    def __len__(self) -> int:
        return len(self.facts)


@dataclass
class _Known:
    """What is known of all images measured so far: tables, and the pictures of each table's rows."""

    tables: list[pd.DataFrame] = field(default_factory=list)
    pictures: list[NDArray[np.uint8]] = field(default_factory=list)

    @property
    def facts(self) -> pd.DataFrame:
        nothing = pd.DataFrame({"content_id": pd.Series(dtype="string")})
        return pd.concat([nothing, *self.tables], ignore_index=True)

    def add(self, table: Path, pictures: Path) -> None:
        """Nothing is added where the two files do not fit each other (a killed run)."""
        try:
            facts, small = pq.read_table(table).to_pandas(), np.load(pictures, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, pa.ArrowException):
            return
        if len(facts) == len(small):
            self.tables.append(facts)
            self.pictures.append(small)

    def forget_want_of_memory(self) -> None:
        for table in self.tables:
            table.loc[table["reason"] == OUT_OF_MEMORY["reason"], "content_id"] = ""


def measured(rows: pd.DataFrame, root: Path, folder: Path, frames: Frames) -> Measured:
    """Measure the rows' images on all cores, except those that the folder remembers."""
    stem = f"facts-{VERSION}-{DECODER_VERSION}-{frames}"
    known = _Known()
    for table in sorted(folder.glob(f"{stem}*.parquet")):
        known.add(table, table.with_suffix(".npy"))
    known.forget_want_of_memory()
    facts, ids = known.facts, rows["content_id"]
    new = rows[ids.notna() & ~ids.isin(facts["content_id"])].drop_duplicates("content_id")
    if len(new):
        for table, pictures in _measure(new, root, folder / stem, frames):
            known.add(table, pictures)
        facts = known.facts
    first = facts.index[~facts["content_id"].duplicated()]  # two audits at once may have measured the same images
    place = pd.Series(first, index=facts["content_id"].iloc[first])
    at = place.reindex(ids).to_numpy()
    missing = np.isnan(at)
    places = np.where(missing, 0, at).astype(np.int64)
    facts = facts.iloc[places].reset_index(drop=True) if len(facts) else facts
    if missing.any():
        facts = facts.reindex(range(len(rows)))
        facts.loc[missing, ["refused", "reason"]] = [UNREADABLE, "the file cannot be read"]
    return Measured(facts, SmallPictures(known.pictures, places) if known.pictures else SmallPictures.none())


def _measure(new: pd.DataFrame, root: Path, stem: Path, frames: Frames) -> Iterator[tuple[Path, Path]]:
    """Measure images, stretch by stretch; the table and the pictures of each, named by what they hold."""
    jobs = [Job(root / path, int(index), frames) for path, index in zip(new["path"], new["index"], strict=True)]
    ids = new["content_id"].to_numpy()
    with progress("audit", len(jobs)) as shown:
        unfinished: dict[int, _Stretch] = {}
        for place, result in _looked(jobs):
            _need_there(jobs[place], result)
            start = place // STRETCH * STRETCH
            stretch = unfinished.setdefault(start, _Stretch.of(min(STRETCH, len(jobs) - start)))
            shown.advance()
            if stretch.finished_with(place - start, result):
                yield unfinished.pop(start).write(ids[start : start + STRETCH], stem)


def _need_there(job: Job, result: Seen | Crash) -> None:
    """Raise `BadData` for a file that was there when it was gathered: it is no bad image, and must not count as one."""
    if isinstance(result, Seen) and result.facts.get("refused") == UNREADABLE:
        raise BadData(
            f"{job.path} could be read when it was gathered and cannot now ({result.facts['reason']}): see whether its "
            "disk is still there, then run again"
        )


@dataclass
class _Stretch:
    """The measurements of some neighbouring images, whichever of them is measured first."""

    facts: list[dict[str, Any]]
    pictures: NDArray[np.uint8]
    left: int

    @classmethod
    def of(cls, count: int) -> _Stretch:
        return cls([{}] * count, np.zeros((count, SIDE, SIDE), np.uint8), count)

    def finished_with(self, place: int, result: Seen | Crash) -> bool:
        """Take a measurement in; whether it was the last one."""
        if isinstance(result, Seen):
            self.facts[place] = result.facts
            self.pictures[place] = result.small
        else:
            self.facts[place] = OUT_OF_MEMORY if result.of_memory else CRASH
        self.left -= 1
        return not self.left

    def write(self, ids: NDArray[np.object_], stem: Path) -> tuple[Path, Path]:
        made = pd.DataFrame(self.facts).assign(content_id=ids)
        for name in {"phash", "phash_mirrored"} & set(made):
            made[name] = made[name].astype("UInt64")
        told = sha256_of_json(ids.tolist())[:12]
        table, pictures = (stem.with_name(f"{stem.name}-{told}{suffix}") for suffix in (".parquet", ".npy"))
        write_with(pictures, lambda path: _save(path, self.pictures))
        write_with(table, lambda path: pq.write_table(pa.Table.from_pandas(made, preserve_index=False), path))
        return table, pictures


def _looked(jobs: Sequence[Job]) -> Iterator[tuple[int, Seen | Crash]]:
    """The place of a job and its measurements: files by all cores; entries of an npz here, in one stream."""
    start = 0
    while start < len(jobs):
        end, inside = start + 1, jobs[start].inside
        while end < len(jobs) and jobs[end].inside == inside and (jobs[end].path == jobs[start].path or not inside):
            end += 1
        if inside:
            yield from look_inside(jobs[start].path, {jobs[place].index: place for place in range(start, end)})
        else:
            for first, results in in_processes(look, jobs[start:end], chunk=CHUNK, few=CHUNK):
                yield from enumerate(results, start + first)
        start = end


def _save(path: Path, small: NDArray[np.uint8]) -> None:
    try:
        with open(path, "wb") as opened:
            np.save(opened, small, allow_pickle=False)
    except OSError as error:
        raise BadData(f"cannot write {path}: {why_unwritten(error, path)}") from error
