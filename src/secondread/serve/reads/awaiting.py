"""Waiting, within a request, for a read to end."""

from __future__ import annotations

import os
import threading
import time

from django.conf import settings

from secondread.serve.reads.bells import Waiters
from secondread.serve.reads.models import PENDING, Read

LOOK_EVERY = 1.0
"""Seconds between looks at the row: a ring that was lost, or a worker on another machine, is noticed then."""
MOST_WAITING = 8

_lock = threading.Lock()
_waiters: dict[int, Waiters] = {}
_places = threading.BoundedSemaphore(MOST_WAITING)


def await_end(read: Read, seconds: float) -> None:
    """Return when a read just seen has ended, is gone, or the time is over; at once when too many wait already."""
    if seconds <= 0 or not read.pending or not _places.acquire(blocking=False):
        return
    waiters = _waiters_of_this_process()
    event = waiters.expect(read.id)
    try:
        deadline = time.monotonic() + min(seconds, settings.LIMITS.wait_seconds)
        while (left := deadline - time.monotonic()) > 0 and not event.wait(min(left, LOOK_EVERY)):
            if not Read.objects.filter(id=read.id, state__in=PENDING).exists():
                return
    finally:
        waiters.done(read.id, event)
        _places.release()


def _waiters_of_this_process() -> Waiters:
    """One listening thread per process, started after any fork."""
    with _lock:
        if os.getpid() not in _waiters:
            _waiters[os.getpid()] = Waiters(settings.FOLDER.bells)
        return _waiters[os.getpid()]
