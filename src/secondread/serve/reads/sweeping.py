"""Removing what is over: what killed processes left (uploads that never arrived, files without a row), workers that
are gone, sessions and counts of passwords whose time has passed."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.contrib.sessions.models import Session
from django.utils import timezone

from secondread.serve.accounts.lockout import forget_old_counts
from secondread.serve.reads.models import StoredImage, Worker
from secondread.serve.reads.places import SUFFIX

AGE = 600.0
"""Seconds after which a file that belongs to nothing is taken for abandoned."""
GONE = timedelta(days=1)
FOLDERS = 256
TURNS = 32
"""Turns in which all folders of images are looked through: 100,000 images at once would keep a worker for seconds."""


def sweep(age: float = AGE, turn: int | None = None) -> int:
    """Remove abandoned files, of images in the folders of this turn (of none: in all); gives their number."""
    removed = 0
    for path in settings.FOLDER.incoming.iterdir():
        removed += _remove_if_older(path, age)
    for group in groups_of_images(range(FOLDERS) if turn is None else range(turn % TURNS, FOLDERS, TURNS)):
        known = set(StoredImage.objects.filter(id__in=list(group)).values_list("id", flat=True))
        for identifier, path in group.items():
            if identifier not in known:
                removed += _remove_if_older(path, age)
    now = timezone.now()
    Worker.objects.filter(seen__lt=now - GONE).delete()
    Session.objects.filter(expire_date__lt=now).delete()
    forget_old_counts()
    return removed


def older_than_an_upload(path: Path, age: float = AGE) -> bool:
    """Whether a file would have its row, if it ever was to get one; False for one that is gone."""
    try:
        return time.time() - path.stat().st_mtime >= age
    except OSError:
        return False


def _remove_if_older(path: Path, age: float) -> int:
    try:
        if not older_than_an_upload(path, age):
            return 0
        path.unlink()
    except OSError:  # gone by now, or a folder, which is nothing of ours
        return 0
    return 1


def groups_of_images(folders: Iterable[int] = range(FOLDERS)) -> Iterator[dict[uuid.UUID, Path]]:
    """Files of images by their identifiers, some hundred at a time."""
    for number in folders:
        group = {}
        for path in (settings.FOLDER.images / f"{number:02x}").glob(f"*{SUFFIX}"):
            try:
                group[uuid.UUID(path.stem)] = path
            except ValueError:
                continue
        yield from _parts(group, 500)


def _parts(group: dict[uuid.UUID, Path], size: int) -> Iterator[dict[uuid.UUID, Path]]:
    items = list(group.items())
    for at in range(0, len(items), size):
        yield dict(items[at : at + size])
