"""The read row is the queue: claimed, finished and given back by conditional updates that every database has.

A worker owns a read while (state, worker, attempt) say so and its lease lasts, which it renews while it reads (see
pulse.py). It may die at any instant: the lease runs out and the next one claims the row. Whoever lost a row cannot
write to it any more.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache, reduce
from operator import or_
from typing import Any

from django.conf import settings
from django.db.models import Count, F, Q, QuerySet, Value
from django.utils import timezone

from secondread.serve.reads.models import PENDING, Read, State
from secondread.serve.statements import Select, Slot, Update, loaded

POISON = "the reading was begun several times and never ended; the image or the bundle may be at fault"
WITHDRAWN = "the model is no longer on this site; choose another"
LOOK_AT = 8
MORE = " | …"
MOST_LETTERS = 300


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
    if not bundles:
        return None
    now = timezone.now()
    waiting = _waiting_for(len(bundles)).rows(now=now, **{f"bundle{at}": name for at, name in enumerate(bundles)})
    while waiting:
        # the first two at random, so that workers woken together rarely want the same one
        read = loaded(Read, CLAIMED, waiting.pop(random.randrange(min(2, len(waiting)))))
        if read.attempt >= settings.LIMITS.attempts:
            given_up = Read.objects.filter(_free(now), id=read.id, attempt=read.attempt)
            given_up.update(state=State.FAILED, reason=POISON, finished=now, lease_until=None)
            continue
        if TAKE(id=read.id, attempt=read.attempt, now=now, worker=worker, lease=_lease_from(now)) == 1:
            read.state, read.worker, read.attempt = State.RUNNING, worker, read.attempt + 1
            return read
    return None


def renew(read: Read) -> bool:
    """Lengthen the lease of a read in hand, unless it was lost to another worker, ended or deleted meanwhile."""
    lease = _lease_from(timezone.now())
    return RENEW(id=read.id, worker=read.worker, attempt=read.attempt, lease=lease) == 1


def finish(read: Read, outcome: Result) -> bool:
    """Write the outcome, unless the read was lost to another worker or deleted meanwhile."""
    return FINISH(
        id=read.id, worker=read.worker, attempt=read.attempt, state=outcome.state, reason=outcome.reason[:300],
        decision=_listed(outcome.decision), result=outcome.result, heat=outcome.heat, finished=timezone.now(),
    ) == 1  # fmt: skip


def _listed(decision: str) -> str:
    """As many whole names as the column holds."""
    if len(decision) <= MOST_LETTERS:
        return decision
    room = MOST_LETTERS - len(MORE)
    end = decision.rfind(" | ", 0, room + len(" | "))
    return decision[: end if end > 0 else room] + MORE


def give_back(worker: str) -> int:
    """Put back what a worker of this name held when it died, so that nobody waits for its lease."""
    held = Read.objects.filter(state=State.RUNNING, worker=worker)
    return held.update(state=State.QUEUED, lease_until=None)


def give_up(bundles: list[str]) -> int:
    """End what waits for bundles that are gone for good, so that nobody waits for it and it takes no place."""
    now = timezone.now()
    left = Read.objects.filter(_free(now), bundle__in=bundles)
    return left.update(state=State.FAILED, reason=WITHDRAWN, finished=now, lease_until=None) if bundles else 0


def waiting() -> int:
    """Reads that are not finished."""
    found = WAITING.first()
    return found[0] if found else 0


def _lease_from(now: datetime) -> datetime:
    return now + timedelta(seconds=settings.LIMITS.lease_seconds)


def _free(now: Any) -> Q:
    return Q(state=State.QUEUED) | Q(state=State.RUNNING, lease_until__lt=now)


def _slot(field: str, name: str = "") -> Slot:
    return Slot(name or field, Read, field)


def _held() -> QuerySet[Read]:
    """The read that a worker owns."""
    return Read.objects.filter(id=_slot("id"), state=State.RUNNING, worker=_slot("worker"), attempt=_slot("attempt"))


@cache
def _waiting_for(count: int) -> Select:
    """The first reads that are free, for so many bundles."""
    bundles = reduce(or_, (Q(bundle=_slot("bundle", f"bundle{at}")) for at in range(count)))
    pending = Q(state__in=PENDING)  # said besides, so that no database looks at the reads that are finished
    found = Read.objects.filter(bundles, pending, _free(_slot("lease_until", "now"))).order_by("created")
    return Select(lambda: found.values_list(*CLAIMED)[:LOOK_AT])


CLAIMED = ("id", "attempt", "image_id", "bundle_id")
WAITING = Select(
    lambda: Read.objects.filter(state__in=PENDING).values(together=Value(1)).annotate(n=Count("*")).values_list("n")
)
TAKE = Update(
    lambda: Read.objects.filter(_free(_slot("lease_until", "now")), id=_slot("id"), attempt=_slot("attempt")),
    state=State.RUNNING, worker=_slot("worker"), attempt=F("attempt") + 1, lease_until=_slot("lease_until", "lease"),
)  # fmt: skip
RENEW = Update(_held, lease_until=_slot("lease_until", "lease"))
FINISH = Update(
    _held,
    state=_slot("state"), reason=_slot("reason"), decision=_slot("decision"), result=_slot("result"),
    heat=_slot("heat"), finished=_slot("finished"), lease_until=None,
)  # fmt: skip
