"""Filling a pixel cache: chunks decoded by processes straight into the mapped file, in constant memory.

The chunks that are finished are noted beside the file, so that a build that was killed goes on where it stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.files import reserve, why_unwritten
from secondread.core.progress import progress
from secondread.images.cache import CacheItem
from secondread.images.decode import DecodePolicy, PixelSpec, Refusal, read_pixels, to_model_input
from secondread.images.decode_npz import decode_entry, entries
from secondread.images.decode_pool import Crash, in_processes

CHUNK = 64


@dataclass(frozen=True)
class _Job:
    """A stretch of the cache: where it begins, its images and where they go."""

    start: int
    items: Sequence[CacheItem]
    spec: PixelSpec
    frames: Literal["refuse", "first"]
    array: Path


def fill(items: Sequence[CacheItem], spec: PixelSpec, path: Path, *, frames: str, workers: int | None) -> None:
    """Write `path` ([N, H, W] or [N, H, W, 3] uint8) from the images; raises `BadData` naming one that is refused."""
    if not items:
        raise BadData("there is no image to put into the pixel cache")
    part, noted = path.with_suffix(".npy.part"), path.with_suffix(".chunks")
    done = _begin(part, noted, len(items), spec)
    jobs = [
        _Job(start, stretch, spec, cast(Literal["refuse", "first"], frames), part)
        for start, stretch in _stretches(items)
        if start not in done
    ]
    remaining = sum(len(job.items) for job in jobs)
    with progress(f"cache {spec.size} px", remaining) as shown, open(noted, "a", encoding="utf8") as note:
        for first, outcomes in in_processes(_run_jobs, jobs, workers=workers, chunk=1, few=1):
            _raise_first(outcomes, jobs[first])
            note.write(f"{jobs[first].start}\n")
            note.flush()
            shown.advance(len(jobs[first].items))
    with open(part, "rb+") as written:
        os.fsync(written.fileno())
    os.replace(part, path)
    noted.unlink()


def _begin(part: Path, noted: Path, count: int, spec: PixelSpec) -> set[int]:
    """Make the file, or find the stretches of it that an earlier build finished."""
    shape = (count, spec.size, spec.size, *((3,) if spec.channels == 3 else ()))
    begun = part.exists() and noted.exists() and _fits(part, shape)
    try:
        if not begun:
            part.parent.mkdir(parents=True, exist_ok=True)
            noted.unlink(missing_ok=True)
            np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
        reserve(part)
    except OSError as error:
        why = why_unwritten(error, part)
        if not begun:
            part.unlink(missing_ok=True)
        raise BadData(f"cannot write the pixel cache {part}: {why}") from error
    return {int(line) for line in noted.read_text(encoding="utf8").split()} if begun else set()


def _fits(part: Path, shape: tuple[int, ...]) -> bool:
    try:
        return tuple(np.load(part, mmap_mode="r", allow_pickle=False).shape) == shape
    except (ValueError, EOFError, OSError):
        return False


def _stretches(items: Sequence[CacheItem]) -> Iterator[tuple[int, Sequence[CacheItem]]]:
    """Stretches of at most CHUNK files; all neighbouring entries of one npz are one stretch, since it is a stream."""
    start = 0
    while start < len(items):
        end = start + 1
        if _in_npz(items[start]):
            while end < len(items) and items[end].path == items[start].path:
                end += 1
        else:
            while end < len(items) and end - start < CHUNK and not _in_npz(items[end]):
                end += 1
        yield start, items[start:end]
        start = end


def _in_npz(item: CacheItem) -> bool:
    return item.index >= 0 and item.path.suffix.lower() == ".npz"


def _run_jobs(jobs: Sequence[_Job]) -> list[str]:
    return [_run(job) for job in jobs]


def _run(job: _Job) -> str:
    """Decode one stretch into its place; the reason when an image is refused, else nothing."""
    mapped = np.load(job.array, mmap_mode="r+", allow_pickle=False)
    finished = 0
    try:
        for place, pixels in _decoded(job):
            mapped[place] = pixels
            finished += 1
    except Refusal as refusal:
        return f"{job.items[min(finished, len(job.items) - 1)].row_id}: {refusal.reason}"
    return ""


def _decoded(job: _Job) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    if _in_npz(job.items[0]):
        places = {item.index: job.start + k for k, item in enumerate(job.items)}
        for index, entry in entries(job.items[0].path, list(places)):
            yield places[index], to_model_input(decode_entry(entry), job.spec)
        return
    policy = DecodePolicy(frames=job.frames)
    for k, item in enumerate(job.items):
        yield job.start + k, read_pixels(item.path, job.spec, policy)


def _raise_first(outcomes: Sequence[str | Crash], job: _Job) -> None:
    for outcome in outcomes:
        if isinstance(outcome, Crash):
            done = "takes more memory than this machine has" if outcome.of_memory else "brings the decoder down"
            raise BadData(f"one of {job.items[0].row_id} … {job.items[-1].row_id} {done}")
        if outcome:
            raise BadData(f"the pixel cache cannot be made: {outcome}")
