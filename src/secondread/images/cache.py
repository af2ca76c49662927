"""The pixel cache: every image decoded once, ever, into one memory-mapped uint8 array.

`<key>.npy` is [N, H, W] or [N, H, W, 3]; `<key>.json`, written last, names the rows in order. The key holds the
decoder's version, size, fit, intensity mapping, channels, border cut and contents: another choice is another cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.core.alone import alone
from secondread.core.errors import BadData
from secondread.core.files import damaged, read_json, sha256_of_json, write_json
from secondread.core.studydir import StudyDir, needed
from secondread.images.decode import DECODER_VERSION, PixelSpec
from secondread.images.decode_types import Fit


@dataclass(frozen=True)
class CacheItem:
    """One row's image: `index` is an entry of an npz, the frame of a DICOM file, or -1 for the file itself."""

    row_id: str
    path: Path
    index: int
    content_id: str


@dataclass(frozen=True)
class PixelCache:
    """Pixels by row: `cache.pixels[cache.position[row_id]]` is uint8 [H, W] or [H, W, 3]."""

    path: Path
    row_ids: list[str]
    settings: dict[str, Any]

    @classmethod
    def open(cls, path: Path) -> PixelCache:
        """The finished cache `<key>.npy`; raises `BadData` when it is not there or not whole."""
        if not _is_whole(path):
            raise BadData(f"the pixel cache {path.name} is not finished: run `secondread prepare` again")
        told = read_json(path.with_suffix(".json"))
        try:
            cache = cls(path, told["row_ids"], told["settings"])
            if len(cache.pixels) != len(cache.row_ids):
                raise ValueError("it holds another number of images than its rows")
        except (OSError, ValueError, EOFError, KeyError, TypeError) as error:
            raise damaged(path, error) from error
        return cache

    @cached_property
    def position(self) -> dict[str, int]:
        return {row_id: place for place, row_id in enumerate(self.row_ids)}

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        mapped: NDArray[np.uint8] = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return mapped

    def take(self, row_ids: Sequence[str]) -> NDArray[np.uint8]:
        """A copy of the pixels of these rows, in their order; raises `BadData` naming a row that is not there."""
        try:
            places = [self.position[row_id] for row_id in row_ids]
        except KeyError as error:
            raise BadData(f"row {error.args[0]!r} is not in the pixel cache {self.path.name}") from error
        return self.pixels[places]


def cache_key(items: Sequence[CacheItem], spec: PixelSpec) -> str:
    """The name of the cache of these images under these settings."""
    told = {**_settings(spec), "rows": sha256_of_json([[item.row_id, item.content_id] for item in items])}
    return sha256_of_json(told)[:24]


def build_cache(
    items: Sequence[CacheItem], spec: PixelSpec, out_folder: Path, *, frames: str = "refuse", workers: int | None = None
) -> PixelCache:
    """The cache of these images, decoded on all cores unless it is already there. A killed build goes on.

    Raises `BadData` naming the first image that cannot be decoded.
    """
    from secondread.images.cache_build import fill

    key = cache_key(items, spec)
    path = out_folder / f"{key}.npy"
    if not _is_whole(path):
        with alone(path.with_suffix(".lock"), f"the pixel cache {path.name}"):
            if not _is_whole(path):
                fill(items, spec, path, frames=frames, workers=workers)
                rows = {"row_ids": [item.row_id for item in items], "settings": _settings(spec)}
                write_json(path.with_suffix(".json"), rows)
    return PixelCache.open(path)


def _is_whole(path: Path) -> bool:
    return path.exists() and path.with_suffix(".json").exists()


def open_for(where: StudyDir, size: int, fit: Fit) -> PixelCache:
    """The study's pixels at this size and fit, made now if `prepare` did not foresee them."""
    told = read_json(needed(where.pixels, "prepare"))
    known = told["caches"].get(f"{size}-{fit}")
    if known is not None and _is_whole(where.root / known["file"]):
        return PixelCache.open(where.root / known["file"])
    spec = PixelSpec(size, fit, told["channels"], told["intensity"], told["crop_border"])
    return build_cache(study_items(where), spec, where.cache, frames=told.get("frames", "refuse"))


def pixel_choices(where: StudyDir) -> dict[str, Any]:
    """How pixels are made, as far as it is not the usual way: what was fitted to pixels made otherwise is stale.

    The usual way is left out, so that what was fitted before this was kept in a key stays done.
    """
    told = read_json(where.pixels) if where.pixels.exists() else {}
    usual = {"channels": 1, "intensity": "full_range", "crop_border": 0.0}
    other = {name: told[name] for name, value in usual.items() if told.get(name, value) != value}
    return {"pixels": other} if other else {}


def study_items(where: StudyDir) -> list[CacheItem]:
    """One item per clean row of the study."""
    from secondread.core.tables import read_dataset, read_table  # pandas: not for the processes that only decode

    root = Path(read_dataset(needed(where.dataset, "gather")).root)
    rows = read_table(needed(where.clean_rows, "prepare"))
    columns = zip(rows["row_id"], rows["path"], rows["index"], rows["content_id"], strict=True)
    return [CacheItem(row_id, root / path, int(index), content) for row_id, path, index, content in columns]


def _settings(spec: PixelSpec) -> dict[str, Any]:
    return {"decoder": DECODER_VERSION, **asdict(spec)}
