"""Where the pixels of an image lie."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from django.conf import settings

SUFFIX = ".npz"


def image_path(identifier: uuid.UUID) -> Path:
    """The file of an image, in one of 256 folders."""
    name = identifier.hex
    return Path(settings.FOLDER.images) / name[:2] / f"{name}{SUFFIX}"


def put_in_place(draft: Path, path: Path) -> None:
    """Give a file, already on disk, its final name; on disk when this returns."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    os.rename(draft, path)
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
