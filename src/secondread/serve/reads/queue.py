"""The read row is the queue: claimed, finished and given back by conditional updates that every database has.

A worker owns a read while (state, worker, attempt) say so and its lease lasts. It may die at any instant: the lease
runs out and the next one claims the row. Whoever lost a row cannot write to it any more.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db.models import F, Q
from django.utils import timezone

from secondread.serve.reads.models import PENDING, Read, State

POISON = "the reading was begun several times and never ended; the image or the bundle may be at fault"
LOOK_AT = 8


@dataclass(frozen=True)
class Result:
    """What is written into a read when it ends."""

    state: State
    reason: str = ""
    decision: str = ""
    result: dict[str, Any] | None = None
    heat: bytes | None = None


def claim(worker: str, bundles: list[str]) -> Read | None:
    """Take the oldest read that waits for one of `bundles`, or whose worker was lost; None when there is none."""
    now = timezone.now()
    waiting = Read.objects.filter(_free(now), bundle_id__in=bundles).order_by("created")
    candidates = list(waiting.only("id", "attempt", "image_id", "bundle_id")[:LOOK_AT])
    while candidates:
        # the first two at random, so that workers woken together rarely want the same one
        read = candidates.pop(random.randrange(min(2, len(candidates))))
        free = Read.objects.filter(_free(now), id=read.id, attempt=read.attempt)
        if read.attempt >= settings.LIMITS.attempts:
            free.update(state=State.FAILED, reason=POISON, finished=now, lease_until=None)
            continue
        lease = now + timedelta(seconds=settings.LIMITS.lease_seconds)
        if free.update(state=State.RUNNING, worker=worker, attempt=F("attempt") + 1, lease_until=lease) == 1:
            read.state, read.worker, read.attempt = State.RUNNING, worker, read.attempt + 1
            return read
    return None


def finish(read: Read, outcome: Result) -> bool:
    """Write the outcome, unless the read was lost to another worker or deleted meanwhile."""
    mine = Read.objects.filter(id=read.id, state=State.RUNNING, worker=read.worker, attempt=read.attempt)
    return mine.update(
        state=outcome.state, reason=outcome.reason[:300], decision=outcome.decision[:300], result=outcome.result,
        heat=outcome.heat, finished=timezone.now(), lease_until=None,
    ) == 1  # fmt: skip


def give_back(worker: str) -> int:
    """Put back what a worker of this name held when it died, so that nobody waits for its lease."""
    held = Read.objects.filter(state=State.RUNNING, worker=worker)
    return held.update(state=State.QUEUED, lease_until=None)


def waiting() -> int:
    """Reads that are not finished."""
    return Read.objects.filter(state__in=PENDING).count()


def _free(now: Any) -> Q:
    return Q(state=State.QUEUED) | Q(state=State.RUNNING, lease_until__lt=now)
