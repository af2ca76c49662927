"""The history page and its exports."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from secondread.serve.audit.record import record
from secondread.serve.reads import history as searching
from secondread.serve.reads.exports import csv_lines, json_lines
from secondread.serve.reads.models import Read, State
from secondread.serve.reads.own import user_of
from secondread.serve.reads.removal import delete_reads
from secondread.serve.reads.shown import record_list

MOST_DELETED = 200
MOST_TOLD = 10_000
"""Reads of one audit event: a longer export is written down in several."""


@require_safe
@login_required
def history(request: HttpRequest) -> HttpResponse:
    user, search = user_of(request), searching.search_of(request.GET)
    page = searching.page(user, search)
    record_list(request, "history", page.reads)
    query = request.GET.copy()
    query.pop("after", None)
    return render(
        request,
        "history.html",
        {
            "page": page,
            "search": search,
            "count": searching.count(user, search),
            "count_limit": searching.COUNT_UP_TO,
            "states": State.choices,
            "bundles": searching.bundles_of(user),
            "query": query.urlencode(),
            "later": "after" in request.GET,
        },
    )


@require_safe
@login_required
def export_csv(request: HttpRequest) -> StreamingHttpResponse:
    """Everything the search finds, as a table."""
    return _export(request, "csv", csv_lines, "text/csv; charset=utf-8", "reads.csv")


@require_safe
@login_required
def export_json(request: HttpRequest) -> StreamingHttpResponse:
    """Everything the search finds, one JSON object per line."""
    return _export(request, "json", json_lines, "application/x-ndjson", "reads.jsonl")


@require_POST
@login_required
def delete_chosen(request: HttpRequest) -> HttpResponse:
    """Delete the reads that were ticked."""
    user, wanted = user_of(request), []
    for text in request.POST.getlist("read")[:MOST_DELETED]:
        try:
            wanted.append(uuid.UUID(text))
        except ValueError:
            continue
    chosen = list(Read.objects.filter(owner=user, id__in=wanted))
    if chosen:
        kept = delete_reads(request, user, chosen)
        done = f"{len(chosen)} deleted." if len(chosen) > 1 else "The read was deleted."
        stays = f" Images that stay, because another model has read them too: {kept}." if kept else ""
        messages.success(request, done + stays)
    return redirect("history")


def _export(
    request: HttpRequest, form: str, lines: Callable[[list[uuid.UUID]], Iterator[str]], kind: str, name: str
) -> StreamingHttpResponse:
    """Which reads is settled, and written down, before the first of them leaves the house."""
    found = searching.found(user_of(request), searching.search_of(request.GET))
    which = list(found.values_list("id", flat=True))
    for at in range(0, max(len(which), 1), MOST_TOLD):
        record(request, "export", "history", form, reads=which[at : at + MOST_TOLD])
    response = StreamingHttpResponse(lines(which), content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
