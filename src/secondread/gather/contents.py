"""`content_id`: what an image is, whatever it is called: SHA-256 of a file's bytes, or of an npz entry's array."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd

from secondread.core.processors import cores
from secondread.core.progress import progress
from secondread.images.decode_npz import entries

CHUNK = 512


def content_ids(root: Path, rows: pd.DataFrame) -> list[str | None]:
    """The id of each row, null where the file cannot be read. In threads: reading and hashing free Python's lock."""
    found: list[str | None] = [None] * len(rows)
    paths, indices = rows["path"].tolist(), rows["index"].to_numpy()
    in_npz = np.array([path.lower().endswith(".npz") for path in paths], dtype=bool) & (indices >= 0)
    plain = np.flatnonzero(~in_npz)
    with progress("reading", len(rows)) as shown, ThreadPoolExecutor(cores()) as pool:
        chunks = [plain[start : start + CHUNK] for start in range(0, len(plain), CHUNK)]
        made = pool.map(lambda chunk: _of_files(root, [paths[i] for i in chunk]), chunks)
        for chunk, ids in zip(chunks, made, strict=True):
            for place, content in zip(chunk.tolist(), ids, strict=True):
                found[place] = content
            shown.advance(len(chunk))
    for path in sorted({paths[i] for i in np.flatnonzero(in_npz)}):
        places = {int(indices[i]): int(i) for i in np.flatnonzero(in_npz) if paths[i] == path}
        for index, entry in entries(root / path, list(places)):
            found[places[index]] = hashlib.sha256(entry.tobytes()).hexdigest()
    return found


def _of_files(root: Path, paths: Sequence[str]) -> list[str | None]:
    ids: list[str | None] = []
    for path in paths:
        try:
            with open(f"{root}/{path}", "rb", buffering=0) as opened:
                ids.append(hashlib.file_digest(opened, "sha256").hexdigest())  # type: ignore[arg-type]
        except OSError:
            ids.append(None)
    return ids
