"""Writing audit events: nothing that names a patient goes in, only our own identifiers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta

from allauth.account.adapter import get_adapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils import timezone

from secondread.serve.audit.models import AuditEvent
from secondread.serve.statements import insert

BEGINNING = 13
"""Signs of a read's identifier that an event of many reads keeps of each: 48 bits, which two reads hardly share."""
SAME_LOOK = timedelta(minutes=5)
"""Who sees the same again within this time has seen nothing new: a page loaded anew, a program that polls."""


def record(
    request: HttpRequest | None,
    action: str,
    subject: str = "",
    note: str = "",
    actor: int | None = None,
    reads: Iterable[uuid.UUID] = (),
) -> None:
    """Add one event; the actor is the request's user where none is given."""
    insert(_event(request, action, subject, note, actor, reads))


def record_view(request: HttpRequest, subject: str, note: str = "", reads: Iterable[uuid.UUID] = ()) -> None:
    """Add that something was shown, unless the log says so of the last minutes."""
    event = _event(request, "view", subject, note, None, reads)
    same = {name: getattr(event, name) for name in ("actor", "action", "subject", "note", "address", "reads")}
    if not AuditEvent.objects.filter(at__gte=timezone.now() - SAME_LOOK, **same).exists():
        insert(event)


def _event(
    request: HttpRequest | None, action: str, subject: str, note: str, actor: int | None, reads: Iterable[uuid.UUID]
) -> AuditEvent:
    if actor is None and request is not None:
        user = getattr(request, "auth_user", None) or getattr(request, "user", None)
        actor = user.pk if user is not None and user.is_authenticated else None
    address = _address(request) if request else ""
    which = " ".join(str(identifier)[:BEGINNING] for identifier in reads) or None
    return AuditEvent(actor=actor, action=action, subject=subject, note=note[:120], address=address, reads=which)


def _address(request: HttpRequest) -> str:
    """The client's address, trusting only the declared number of proxies."""
    try:
        return str(get_adapter().get_client_ip(request))[:45]
    except PermissionDenied:
        return ""
