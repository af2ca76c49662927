"""Waiting, within a request, for a read to end."""

from __future__ import annotations

import os
import threading
import time
import uuid

from django.conf import settings

from secondread.serve.reads.bells import Waiters
from secondread.serve.reads.models import PENDING, Read

LOOK_EVERY = 0.5
MOST_WAITING = 8

_lock = threading.Lock()
_waiters: dict[int, Waiters] = {}
_places = threading.BoundedSemaphore(MOST_WAITING)


def await_end(identifier: uuid.UUID, seconds: float) -> None:
    """Return when the read has ended, is gone, or the time is over; at once when too many wait already."""
    if seconds <= 0 or not _places.acquire(blocking=False):
        return
    waiters = _waiters_of_this_process()
    event = waiters.expect(identifier)
    try:
        deadline = time.monotonic() + min(seconds, settings.LIMITS.wait_seconds)
        while Read.objects.filter(id=identifier, state__in=PENDING).exists():
            left = deadline - time.monotonic()
            if left <= 0:
                return
            if event.wait(min(left, LOOK_EVERY)):
                return
    finally:
        waiters.done(identifier, event)
        _places.release()


def _waiters_of_this_process() -> Waiters:
    """One listening thread per process, started after any fork."""
    with _lock:
        if os.getpid() not in _waiters:
            _waiters[os.getpid()] = Waiters(settings.FOLDER.bells)
        return _waiters[os.getpid()]
