"""Removing what killed processes left: uploads that never arrived, files without a row, workers that are gone."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from secondread.serve.reads.models import StoredImage, Worker
from secondread.serve.reads.places import SUFFIX

AGE = 600.0
"""Seconds after which a file that belongs to nothing is taken for abandoned."""
GONE = timedelta(days=1)


def sweep(age: float = AGE) -> int:
    """Remove abandoned files; gives their number."""
    removed = 0
    for path in settings.FOLDER.incoming.iterdir():
        removed += _remove_if_older(path, age)
    for group in _in_groups(settings.FOLDER.images):
        known = set(StoredImage.objects.filter(id__in=list(group)).values_list("id", flat=True))
        for identifier, path in group.items():
            if identifier not in known:
                removed += _remove_if_older(path, age)
    Worker.objects.filter(seen__lt=timezone.now() - GONE).delete()
    return removed


def _remove_if_older(path: Path, age: float) -> int:
    try:
        if time.time() - path.stat().st_mtime < age:
            return 0
        path.unlink()
    except FileNotFoundError:
        return 0
    return 1


def _in_groups(folder: Path) -> Iterator[dict[uuid.UUID, Path]]:
    for inner in folder.iterdir():
        group = {}
        for path in inner.glob(f"*{SUFFIX}"):
            try:
                group[uuid.UUID(path.stem)] = path
            except ValueError:
                continue
        yield from _parts(group, 500)


def _parts(group: dict[uuid.UUID, Path], size: int) -> Iterator[dict[uuid.UUID, Path]]:
    items = list(group.items())
    for at in range(0, len(items), size):
        yield dict(items[at : at + size])
