"""What the bundle says of every image, a stretch at a time: a killed command goes on where it was, another margin reads
nothing again."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.files import sha256_of_json, write_with
from secondread.core.progress import progress
from secondread.core.studydir import StudyDir
from secondread.core.tables import read_table
from secondread.images.cache import CacheItem, PixelCache, build_cache
from secondread.models.bundle import Bundle
from secondread.models.bundle.judge import Reading
from secondread.proving.unseen import Unseen

STRETCH, BATCH = 1024, 8


def pixels_for(bundle: Bundle, unseen: Unseen, where: StudyDir) -> PixelCache:
    """The images as the bundle takes them, decoded once as in training."""
    root, rows = Path(unseen.dataset.root), unseen.rows
    columns = zip(rows["row_id"], rows["path"], rows["index"], rows["content_id"], strict=True)
    items = [CacheItem(row_id, root / path, int(index), content) for row_id, path, index, content in columns]
    return build_cache(items, bundle.pixels, where.cache, frames=bundle.card.frames)


def readings_of(bundle: Bundle, unseen: Unseen, cache: PixelCache, where: StudyDir) -> pd.DataFrame:
    """One row per image, in order: row_id, status, reason, gate_distance, p_<class>, d_<class> (1: decided for)."""
    ids = unseen.rows["row_id"].tolist()
    engine = type(bundle.session).__name__  # engines differ in the last digits
    folder = where.proof / "stretches" / sha256_of_json([bundle.sha256, engine, cache.path.stem])[:16]
    parts = [ids[at : at + STRETCH] for at in range(0, len(ids), STRETCH)]
    with progress("reading", len(ids), "images") as bar:
        for number, part in enumerate(parts):
            path = folder / f"{number:05d}.parquet"
            if not path.exists():
                table = _read(bundle, cache.take(part), part)
                write_with(path, lambda temporary, made=table: made.to_parquet(temporary))  # type: ignore[misc]
            bar.advance(len(part))
    for earlier in set(folder.parent.iterdir()) - {folder}:
        shutil.rmtree(earlier, ignore_errors=True)
    whole = pd.concat([read_table(folder / f"{number:05d}.parquet") for number in range(len(parts))])
    return whole.reset_index(drop=True)


def _read(bundle: Bundle, pixels: NDArray[np.uint8], ids: list[str]) -> pd.DataFrame:
    images = pixels[:, None] if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    found: list[Reading] = []
    for at in range(0, len(images), BATCH):
        found += bundle.judge(bundle.run(images[at : at + BATCH]))
    return pd.DataFrame([
        {"row_id": row_id, "status": one.status, "reason": one.reason, "gate_distance": one.gate_distance}
        | {f"p_{name}": one.probabilities.get(name, np.nan) for name in bundle.card.classes}
        | {f"d_{name}": _decided(one, name) for name in bundle.card.classes}
        for row_id, one in zip(ids, found, strict=True)
    ])  # fmt: skip


def _decided(one: Reading, name: str) -> float:
    if not one.probabilities:
        return np.nan
    return float(name in one.decision if isinstance(one.decision, list) else name == one.decision)
