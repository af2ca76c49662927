"""Telling the audit log whose results a list showed: one event for the list, however many stand in it."""

from __future__ import annotations

from collections.abc import Iterable

from django.http import HttpRequest

from secondread.serve.audit.record import record_view
from secondread.serve.reads.models import Read


def record_list(request: HttpRequest, place: str, reads: Iterable[Read], note: str = "") -> None:
    """Note which reads were listed with what came of them; those that still wait show nothing of their image yet."""
    ended = [read.id for read in reads if not read.pending]
    if ended:
        record_view(request, place, note, ended)
