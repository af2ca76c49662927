"""What a bundle meets at this site beside what it was proven on. Counts only: nobody's images or readings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from django.db.models import Count, QuerySet
from django.utils import timezone

from secondread.models.bundle.promise import (
    Share,
    promised_decisions,
    promised_doubts,
    promised_refusals,
    promised_sensitivity,
)
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import DONE, Feedback, Read, State
from secondread.serve.reads.queue import MORE
from secondread.serve.reads.reading import SEPARATOR

PIECES = 12
"""Of the time that is looked at, for the drawing."""


@dataclass(frozen=True)
class Line:
    """A share at this site beside the promised one, and in words how they compare."""

    name: str
    here: Share
    promised: Share | None
    words: str
    alarm: bool = False


@dataclass(frozen=True)
class Piece:
    """A stretch of time: when it began, and how many of its images were refused."""

    begins: datetime
    refused: Share


@dataclass(frozen=True)
class Watched:
    """One bundle over some days."""

    bundle: RegisteredBundle
    days: int
    images: int
    kept: list[Line] = field(default_factory=list)
    """What can break a promise: refused, uncertain, found by readers' opinion."""
    decided: list[Line] = field(default_factory=list)
    """What depends on who is read, so that it is shown and raises no alarm."""
    agreed: Share | None = None
    """Of the readings that somebody gave an opinion on."""
    pieces: list[Piece] = field(default_factory=list)

    @property
    def alarms(self) -> list[Line]:
        return [line for line in self.kept if line.alarm]


def watch(bundle: RegisteredBundle, days: int, now: datetime | None = None) -> Watched:
    """What `bundle` did in the last `days` days and today, of the reads that are still kept.

    It begins with a day (UTC), so that there are no more beginnings than days: `models.bundle.promise.OF_A_DAY`.
    """
    end = now or timezone.now()
    since = datetime.combine(end.astimezone(UTC).date(), datetime.min.time(), UTC) - timedelta(days=days)
    counts = _states(bundle, since, end)
    images = sum(counts.values())
    if not images:
        return Watched(bundle, days, 0)
    read = images - counts[State.REFUSED]
    refused, doubtful = Share.so_far(counts[State.REFUSED], images), Share.so_far(counts[State.UNCERTAIN], read)
    kept = [
        _more("refused as unlike its kind", refused, promised_refusals(bundle.card)),
        _more("uncertain, of the others", doubtful, promised_doubts(bundle.card)),
    ]
    agreed, found = _opinions(bundle, since, end)
    width = (end - since) / PIECES
    starts = [since + width * at for at in range(PIECES)]
    pieces = [Piece(start, _refused(bundle, start, start + width)) for start in starts]
    return Watched(bundle, days, images, kept + found, _decisions(bundle, read, since, end), agreed, pieces)


def _states(bundle: RegisteredBundle, since: datetime, end: datetime) -> Counter[str]:
    done = _done(bundle, since, end).order_by().values_list("state").annotate(Count("id"))
    return Counter(dict(done))


def _refused(bundle: RegisteredBundle, since: datetime, end: datetime) -> Share:
    counts = _states(bundle, since, end)
    return Share.counted(counts[State.REFUSED], sum(counts.values()))


def _done(bundle: RegisteredBundle, since: datetime, end: datetime) -> QuerySet[Read]:
    return Read.objects.filter(bundle=bundle, state__in=DONE, created__gt=since, created__lte=end)


def _more(name: str, here: Share, promised: Share | None) -> Line:
    """More of it than promised is an alarm, fewer is not."""
    if promised is None:
        return Line(name, here, None, "this bundle promises nothing here")
    if here.above(promised):
        return Line(name, here, promised, "more than promised", alarm=True)
    return Line(name, here, promised, "fewer than promised" if promised.above(here) else "no difference shown")


def _decisions(bundle: RegisteredBundle, read: int, since: datetime, end: datetime) -> list[Line]:
    """How often each class was decided; empty where lists of labels were too long to be kept whole."""
    counts: Counter[str] = Counter()
    judged = _done(bundle, since, end).exclude(state=State.REFUSED).order_by()
    for decision, count in judged.values_list("decision").annotate(Count("id")):
        if decision.endswith(MORE):
            return []
        for name in filter(None, decision.split(SEPARATOR)):
            counts[name] += count
    promised = promised_decisions(bundle.card)
    return [_either(name, Share.so_far(counts[name], read), promised.get(name)) for name in bundle.card["classes"]]


def _either(name: str, here: Share, promised: Share | None) -> Line:
    if promised is None:
        return Line(name, here, None, "")
    words = "more often" if here.above(promised) else "less often" if promised.above(here) else "no difference shown"
    return Line(name, here, promised, words)


def _opinions(bundle: RegisteredBundle, since: datetime, end: datetime) -> tuple[Share | None, list[Line]]:
    """How often readers agreed, and of what they called by each class how much was found."""
    told = Feedback.objects.filter(read__in=_done(bundle, since, end).exclude(state=State.REFUSED))
    rows = list(told.values_list("agrees", "truth", "read__decision"))
    if not rows:
        return None, []
    agreed = Share.so_far(sum(agrees for agrees, _, _ in rows), len(rows))
    if bundle.card["task"] == "multilabel":  # an opinion is on the whole list
        return agreed, []
    pairs = [(decision if agrees else truth, decision) for agrees, truth, decision in rows if agrees or truth]
    lines = []
    for name in bundle.card["classes"]:
        decided = [decision for truth, decision in pairs if truth == name]
        if decided:
            here = Share.so_far(sum(one == name for one in decided), len(decided))
            lines.append(_fewer(f"found, of what readers call {name}", here, promised_sensitivity(bundle.card, name)))
    return agreed, lines


def _fewer(name: str, here: Share, promised: Share | None) -> Line:
    """Fewer of it than promised is an alarm, more is not."""
    if promised is None:
        return Line(name, here, None, "this bundle promises nothing here")
    if promised.above(here):
        return Line(name, here, promised, "fewer than promised", alarm=True)
    return Line(name, here, promised, "more than promised" if here.above(promised) else "no difference shown")
