"""Who may come in: so many requests at a time in this process, so many reads waiting on the site; others come later."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from secondread.serve.reads.queue import waiting

RETRY_SECONDS = 3


class Busy(Exception):
    """Too much is going on: try again in `RETRY_SECONDS`."""


class Places:
    """Places for requests that take in images, of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """A place for as long as the block lasts; raises `Busy` at once when there is none."""
        with self.lock:
            if self.taken >= settings.LIMITS.uploads:
                raise Busy
            self.taken += 1
        try:
            if waiting() >= settings.LIMITS.waiting:
                raise Busy
            yield
        finally:
            with self.lock:
                self.taken -= 1


PLACES = Places()
