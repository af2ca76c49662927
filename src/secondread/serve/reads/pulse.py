"""A worker's signs of life while it reads: its lease renewed, its presence reported, from a thread of its own.

A reading may take longer than a lease lasts (a large model, a busy machine): who is alive keeps it. Whoever dies takes
this thread along and loses the lease; who hangs for longer than any reading takes ends, and is started anew.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import Error, close_old_connections, connection
from django.utils import timezone

from secondread.serve.reads.models import Read, Worker
from secondread.serve.reads.queue import renew

log = logging.getLogger("secondread.worker")

BEATS = 4
"""Of one lease: a few may come late."""
LONGEST_PAUSE = 4.0
"""Seconds; short enough for `/health/ready`, which takes a silent worker for gone."""
HUNG = 70


class Pulse(threading.Thread):
    """Beats for the read in hand; not at all for what is read within a beat."""

    def __init__(self, worker: str) -> None:
        super().__init__(daemon=True, name="pulse")
        self.worker = worker
        self.held: tuple[Read, float] | None = None
        """The read in hand, and since when; replaced as one, so that no lock is needed."""
        self.ended = threading.Event()
        self.pause = min(settings.LIMITS.lease_seconds / BEATS, LONGEST_PAUSE)

    @contextmanager
    def of(self, read: Read) -> Iterator[None]:
        self.held = read, time.monotonic()
        try:
            yield
        finally:
            self.held = None

    def run(self) -> None:
        while not self.ended.wait(self.pause):
            held = self.held
            if held is not None:
                self._beat(held[0], time.monotonic() - held[1])

    def _beat(self, read: Read, seconds: float) -> None:
        if seconds > settings.LIMITS.read_seconds:
            log.error("read %s has not ended after %d seconds: this worker is taken to hang and ends", read.id, seconds)
            os._exit(HUNG)
        try:
            close_old_connections()
            renew(read)
            Worker.objects.filter(name=self.worker).update(seen=timezone.now())
        except Error as error:  # the next beat may reach it again
            log.warning("the database does not answer: %s", type(error).__name__)
            connection.close()
