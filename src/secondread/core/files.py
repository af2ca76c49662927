"""Files written so that a kill at any instant leaves either the old file or the new one."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from secondread.core.errors import BadData

LITTLE_SPACE = 16 * 2**20
"""Bytes under which a short write means a full disk."""
UNFINISHED = re.compile(r"^\..+\.(?:([0-9a-f]{6})-)?(\d+)(?:-\d+)?\.part$")
"""The name of a file in the making: after it the machine, the process and the thread that make it."""
THIS_MACHINE = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
LONG_AGO = 24 * 3600.0
"""Seconds after which nobody is still at a file in the making, on whatever machine."""


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that replaces it when the block ends without an error.

    Raises `BadData` with the file's name when the disk is full or the folder may not be written.
    """
    temporary = path.with_name(f".{path.name}.{THIS_MACHINE}-{os.getpid()}-{threading.get_native_id()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as written:  # Windows sends to disk only what may be written
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise BadData(f"cannot write {path}: {why_unwritten(error, path)}") from error


def check_writable(path: Path) -> None:
    """Raise `BadData` where a file could not be written: asked before the work whose result it is to hold."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise BadData(f"cannot write {path}: {why_unwritten(error, path)}") from error


def clear_abandoned(folder: Path) -> None:
    """Remove files in the making under `folder` whose process was killed."""
    for inside, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".part") and (made_by := UNFINISHED.match(name)):
                path = Path(inside, name)
                with suppress(OSError):  # finished or removed meanwhile, or another user's
                    here = made_by[1] == THIS_MACHINE and Path("/proc/self").exists()
                    gone = here and not Path(f"/proc/{made_by[2]}").exists()
                    if gone or time.time() - path.stat().st_mtime > LONG_AGO:
                        path.unlink()


def why_unwritten(error: OSError, path: Path) -> str:
    """Why a write failed; libraries that count bytes themselves do not say that the disk is full."""
    if error.strerror:
        return error.strerror
    free = shutil.disk_usage(path.parent).free if path.parent.exists() else 0
    return "No space left on device" if free < LITTLE_SPACE else f"the file could not be written whole ({error})"


def reserve(path: Path) -> None:
    """Take from the disk what a file is long, though nothing was written there yet; raises `OSError` where it is full.

    Who finds a full disk while writing to a mapped file is ended by the system without a word.
    """
    if hasattr(os, "posix_fallocate"):  # not on macOS and Windows
        with open(path, "rb+") as opened:
            try:
                os.posix_fallocate(opened.fileno(), 0, os.fstat(opened.fileno()).st_size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT):  # others: a file system that reserves nothing
                    raise


def write_bytes(path: Path, content: bytes) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, sort_keys=False, default=_plain) + "\n")


def read_json(path: Path) -> Any:
    """What stands in a file of `write_json`; raises `BadData` when it is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> BadData:
    """What to say of a file of a study that cannot be read."""
    return BadData(f"{path} cannot be read ({error}): delete it, and `secondread run` makes it again")


def write_with(path: Path, writer: Callable[[Path], object]) -> None:
    """Let `writer` fill a temporary path that then takes the place of `path`."""
    with atomic_path(path) as temporary:
        writer(temporary)


def sha256_of_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def sha256_of_json(content: Any) -> str:
    """SHA-256 of the canonical JSON of `content`: the same for equal content, whatever the key order."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_plain)
    return sha256_of_bytes(canonical.encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} does not fit into JSON")
