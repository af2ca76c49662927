"""Writing audit events: nothing that names a patient goes in, only our own identifiers."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from secondread.serve.audit.models import AuditEvent
from secondread.serve.statements import insert


def record(
    request: HttpRequest | None, action: str, subject: str = "", note: str = "", actor: int | None = None
) -> None:
    """Add one event; the actor is the request's user where none is given."""
    if actor is None and request is not None:
        user = getattr(request, "auth_user", None) or getattr(request, "user", None)
        actor = user.pk if user is not None and user.is_authenticated else None
    address = _address(request) if request else ""
    insert(AuditEvent(actor=actor, action=action, subject=subject, note=note[:120], address=address))


def _address(request: HttpRequest) -> str:
    """The client's address, trusting only the declared number of proxies."""
    try:
        return str(get_adapter().get_client_ip(request))[:45]
    except PermissionDenied:
        return ""
