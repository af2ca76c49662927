"""One process at a time where two would spoil each other's files: a lock of the operating system on a file.

The system takes it back when its process ends, however that ends, so that no lock is left behind by a kill.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from secondread.core.errors import BadData
from secondread.core.files import why_unwritten
from secondread.core.progress import say

LOOK_EVERY = 0.2
HELD = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
"""What the systems say of a file that another process has locked; anything else: this file system cannot lock."""


@contextmanager
def alone(path: Path, work: str) -> Iterator[None]:
    """Keep the file `path` locked within the block; who holds it already is waited for, which is said once.

    The empty file stays: whoever removed it could leave two processes with a lock on two files of one name. Where the
    file system knows no locks, nobody is kept out.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise BadData(f"cannot write {path}: {why_unwritten(error, path)}") from error
    try:
        told = False
        while not _locked(handle):
            if not told:
                say(f"waits for another process that is at {work}")
                told = True
            time.sleep(LOOK_EVERY)
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Whether the file is locked for this process now, or cannot be locked at all."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True
