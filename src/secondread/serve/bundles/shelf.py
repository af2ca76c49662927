"""The bundles a worker has open. What is not whole, or not the one that was registered, is never read with."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db.models import Exists, OuterRef

from secondread.core.errors import SecondreadError
from secondread.models.bundle import Bundle
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import PENDING, Read

log = logging.getLogger("secondread.bundles")


@dataclass
class Place:
    """A registered bundle as this process knows it."""

    print: tuple[tuple[str, int, int, int], ...]
    """Names, sizes, times and inodes of its files when they were checked."""
    bundle: Bundle | None
    fault: str


class Shelf:
    """Opens bundles when they are registered or their files change, and never otherwise."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.places: dict[str, Place] = {}
        self.withdrawn: list[str] = []
        """Digests that reads wait for in vain: no longer offered, and not to be opened."""

    def state(self) -> dict[str, str]:
        """Digest of each active bundle and why it cannot be used (empty: it can); looks at the files anew."""
        active = dict(RegisteredBundle.objects.filter(active=True).values_list("sha256", "path"))
        awaited = self._awaited()
        for sha256, path in (awaited | active).items():
            self._look_after(sha256, Path(path))
        for gone in set(self.places) - set(active):
            if not RegisteredBundle.objects.filter(sha256=gone).exists():
                del self.places[gone]
        self.withdrawn = [sha256 for sha256 in awaited if self.places[sha256].bundle is None]
        return {sha256: self.places[sha256].fault for sha256 in active}

    def _awaited(self) -> dict[str, str]:
        """Bundles that are no longer offered, but were when reads came that still wait for them."""
        pending = Read.objects.filter(bundle=OuterRef("pk"), state__in=PENDING)
        return dict(RegisteredBundle.objects.filter(Exists(pending), active=False).values_list("sha256", "path"))

    def ready(self) -> list[str]:
        """Digests of what can be read with now."""
        return [sha256 for sha256, place in self.places.items() if place.bundle is not None]

    def bundle(self, sha256: str) -> Bundle:
        found = self.places[sha256].bundle
        assert found is not None
        return found

    def _look_after(self, sha256: str, path: Path) -> None:
        now = _print_of(path)
        known = self.places.get(sha256)
        if known is not None and known.print == now:
            return
        try:
            opened = Bundle.open(path, self.threads, settings.ENGINE)
            if opened.sha256 != sha256:
                raise SecondreadError("another bundle lies at its place")
            self.places[sha256] = Place(now, opened, "")
        except SecondreadError as error:
            log.error("bundle %s cannot be used: %s", sha256[:12], error)
            told = str(error).replace(str(path), "its place")  # /health/ready shows it to everybody
            self.places[sha256] = Place(now, None, told[:300])


def _print_of(path: Path) -> tuple[tuple[str, int, int, int], ...]:
    """What changes when a file of the bundle does."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        told = [(file.name, file.stat()) for file in files]
    except OSError:
        return ()
    return tuple((name, stat.st_size, stat.st_mtime_ns, stat.st_ino) for name, stat in told)
