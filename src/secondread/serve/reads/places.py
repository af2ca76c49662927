"""Where the pixels of an image lie, and what it means when the disk is full."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

SUFFIX = ".npz"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class OutOfSpace(Exception):
    """The disk of the data folder is full."""


@contextmanager
def on_disk() -> Iterator[None]:
    """Raises `OutOfSpace` for what a full disk says, whenever it says it: at a write, a close or a rename."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise OutOfSpace from error
        raise


def image_path(identifier: uuid.UUID) -> Path:
    """The file of an image, in one of 256 folders."""
    name = identifier.hex
    return Path(settings.FOLDER.images) / name[:2] / f"{name}{SUFFIX}"


def put_in_place(draft: Path, path: Path) -> None:
    """Give a file its final name; file and name are on disk when this returns.

    Only now is the file itself sent to disk: before, its creation and its renaming would each be written out.
    """
    folder = path.parent
    try:
        os.rename(draft, path)
    except FileNotFoundError:
        folder.mkdir(mode=0o700, exist_ok=True)
        os.rename(draft, path)
    for written, flags in ((path, os.O_RDONLY), (folder, os.O_RDONLY | os.O_DIRECTORY)):
        handle = os.open(written, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
