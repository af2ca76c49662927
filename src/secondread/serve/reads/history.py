"""Searching one's own reads, a page at a time. The next page is asked for by where the last one ended."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import reduce
from operator import or_
from zoneinfo import ZoneInfo

from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import QueryDict

from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.pages.fields import Digest, typed
from secondread.serve.reads.models import Read, State
from secondread.serve.reads.own import first_of, older_than

PAGE = 24
COUNT_UP_TO = 1000
EARLIEST, LATEST = date(1900, 1, 1), date(9000, 1, 1)
"""Days of a search: the first and the last days there are have no midnight in every zone."""
PLACE = r"^([0-9T:.-]{19,26}[+ ]00:00~[0-9a-f-]{36})?$"
"""Where a page ended, as `_place` reads it."""


@dataclass
class Search:
    """What is looked for; what makes no sense is left out."""

    words: str = ""
    state: str = ""
    bundle: str = ""
    since: date | None = None
    until: date | None = None
    zone: tzinfo = UTC
    """Of the browser, which shows all times in it: the days of a search are its days."""
    batch: uuid.UUID | None = None
    after: tuple[datetime, uuid.UUID] | None = None

    @property
    def active(self) -> bool:
        return bool(self.words or self.state or self.bundle or self.since or self.until or self.batch)


@dataclass
class Page:
    reads: list[Read] = field(default_factory=list)
    following: str = ""
    """Where the next page begins; empty on the last one."""


def search_of(query: QueryDict) -> Search:
    state = query.get("state", "")
    bundle = query.get("bundle", "")
    return Search(
        words=typed(query, "q")[:100],
        state=state if state in State.values else "",
        bundle=bundle if re.fullmatch(Digest.regex, bundle) else "",
        since=_day(query.get("since", "")),
        until=_day(query.get("until", "")),
        zone=_zone(query.get("zone", "")),
        batch=_identifier(query.get("batch", "")),
        after=_place(query.get("after", "")),
    )


def found(user: User, search: Search) -> QuerySet[Read]:
    """The reads of `user` that match, newest first."""
    reads = Read.objects.filter(owner=user)
    if search.state:
        reads = reads.filter(state=search.state)
    if search.bundle:
        reads = reads.filter(bundle_id=search.bundle)
    if search.batch:
        reads = reads.filter(batch=search.batch)
    if search.since:
        reads = reads.filter(created__gte=_midnight(search.since, search.zone))
    if search.until:
        reads = reads.filter(created__lt=_midnight(search.until + timedelta(days=1), search.zone))
    for word in search.words.split():
        forms = _spellings(word)
        told = reduce(or_, (Q(image__name__icontains=form) | Q(decision__icontains=form) for form in forms))
        reads = reads.filter(told | Q(image__content_id__istartswith=word))
    return reads.order_by("-created", "-id")


def _spellings(word: str) -> set[str]:
    """SQLite knows large and small letters of ASCII only."""
    return {word} if word.isascii() else {word, word.lower(), word.upper(), word.capitalize()}


def page(user: User, search: Search) -> Page:
    reads = found(user, search)
    if search.after:
        reads = older_than(reads, *search.after)
    some = first_of(reads, PAGE + 1)
    shown = some[:PAGE]
    following = f"{shown[-1].created.isoformat()}~{shown[-1].id}" if len(some) > PAGE else ""
    return Page(shown, following)


def count(user: User, search: Search) -> int:
    """How many match, counted up to `COUNT_UP_TO`: nobody reads further, and databases count slowly."""
    return found(user, search).order_by()[:COUNT_UP_TO].count()


def bundles_of(user: User) -> QuerySet[RegisteredBundle]:
    """Bundles that have read for `user`, without their cards.

    One read of each is looked for; joined, or asked whether any exists, one database or another goes through them all.
    """
    one = Read.objects.filter(owner=user, bundle=OuterRef("pk")).values("id")[:1]
    return RegisteredBundle.objects.alias(one=Subquery(one)).filter(one__isnull=False).only("sha256", "name")


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
        return day if EARLIEST <= day <= LATEST else None
    except ValueError:
        return None


def _zone(text: str) -> tzinfo:
    try:
        return ZoneInfo(text) if text else UTC
    except (KeyError, ValueError, OSError):  # unknown, nonsense, the folder of a continent
        return UTC


def _midnight(day: date, zone: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=zone)


def _identifier(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None


def _place(text: str) -> tuple[datetime, uuid.UUID] | None:
    moment, _, identifier = text.partition("~")
    try:
        told = datetime.fromisoformat(moment.replace(" ", "+"))
        return (told.astimezone(UTC), uuid.UUID(identifier)) if told.tzinfo else None
    except (ValueError, OverflowError):
        return None
