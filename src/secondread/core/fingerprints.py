"""What a file contributes to the key of the work that reads it."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path
from typing import Any

from secondread.core.files import damaged, read_json, sha256_of_file, sha256_of_json

SETTLED = 2.0
"""Seconds after which a file that is written again has another time; before, both may bear the same."""


def record_of(done: Path) -> dict[str, Any]:
    """What stands in a `done.json`; raises `BadData` when it is none."""
    told = read_json(done)
    if not (isinstance(told, dict) and "key" in told):
        raise damaged(done, ValueError("it has no key"))
    return told


def fingerprint(path: Path) -> str:
    """What a file contributes to a key: its content, or for a `done.json` its key and outputs."""
    if path.name.endswith("done.json"):
        told = record_of(path)
        return sha256_of_json([told["key"], told.get("outputs", {})])
    try:
        seen = path.stat()
        if time.time() - seen.st_mtime < SETTLED:
            return sha256_of_file(path)
        return _content(path, (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))
    except OSError as error:
        raise damaged(path, error) from error


@cache
def _content(path: Path, _: tuple[int, ...]) -> str:
    """The content of a file that looks like this; read once for all units that it is an input of."""
    return sha256_of_file(path)
