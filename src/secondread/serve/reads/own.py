"""Finding what is the user's own; everything else does not exist."""

from __future__ import annotations

import uuid
from datetime import datetime
from functools import cache
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest

from secondread.serve.accounts.models import User
from secondread.serve.reads.models import DONE, Feedback, Read
from secondread.serve.statements import Select, Slot, loaded

BUT_THE_MAPS = tuple(field.attname for field in Read._meta.concrete_fields if field.attname != "heat")
OPINION = ("read_id", "agrees", "truth")


def user_of(request: HttpRequest) -> User:
    """The person logged in (views that need one are behind `login_required`)."""
    assert isinstance(request.user, User)
    return request.user


def own_reads(user: User) -> QuerySet[Read]:
    return Read.objects.filter(owner=user).select_related("image", "bundle")


def first_of(reads: QuerySet[Read], most: int) -> list[Read]:
    """The first `most` of them with image, bundle and feedback, without the maps.

    First which, then what: asked for both at once, MariaDB begins with the few bundles and sorts every read there is.
    """
    which = list(reads.values_list("id", flat=True)[:most])
    whole = Read.objects.select_related("image", "bundle", "feedback").defer("heat", "bundle__card").in_bulk(which)
    return [whole[identifier] for identifier in which if identifier in whole]


def older_than(reads: QuerySet[Read], moment: datetime, identifier: uuid.UUID) -> QuerySet[Read]:
    """What follows the read of that moment in a list with the newest first."""
    return reads.filter(Q(created__lt=moment) | Q(created=moment, id__lt=identifier), created__lte=moment)


def own_read(user: User, identifier: uuid.UUID) -> Read:
    """A read of `user`; raises `Http404` for any other."""
    read = own_reads(user).filter(id=identifier).first()
    if read is None:
        raise Http404
    return read


def own_finished_read(user: User, identifier: uuid.UUID) -> Read:
    """A read of `user` that has a result; raises `Http404` for any other."""
    read = own_read(user, identifier)
    if read.state not in DONE:
        raise Http404
    return read


def reads_now(user: User, identifiers: list[uuid.UUID]) -> dict[uuid.UUID, Read]:
    """These reads of the user as they are now, with their feedback, without the maps; image and bundle not loaded."""
    given = {f"id{at}": identifier for at, identifier in enumerate(identifiers)}
    found = _these(len(identifiers)).rows(owner=user.pk, **given) if given else []
    return {read.id: read for read in map(_with_opinion, found)}


@cache
def _these(count: int) -> Select:
    which = [Slot(f"id{at}", Read, "id") for at in range(count)]
    owner = Slot("owner", Read, "owner")
    columns = (*BUT_THE_MAPS, *(f"feedback__{name}" for name in OPINION))
    return Select(lambda: Read.objects.filter(owner=owner, id__in=which).values_list(*columns))


def _with_opinion(row: tuple[object, ...]) -> Read:
    read, opinion = loaded(Read, BUT_THE_MAPS, row[: -len(OPINION)]), row[-len(OPINION) :]
    relation: Any = Read._meta.get_field("feedback")
    relation.set_cached_value(read, loaded(Feedback, OPINION, opinion) if opinion[0] is not None else None)
    return read
