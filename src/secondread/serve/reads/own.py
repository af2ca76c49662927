"""Finding what is the user's own; everything else does not exist."""

from __future__ import annotations

import uuid

from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from secondread.serve.accounts.models import User
from secondread.serve.reads.models import DONE, Read


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
