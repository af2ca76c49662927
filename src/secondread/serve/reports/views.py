"""A read to take away: PDF, JSON, DICOM; and to send to the archive."""

from __future__ import annotations

import json
import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST, require_safe

from secondread.serve.audit.record import record
from secondread.serve.dicom.sending import NotSent, pacs_is_configured, send
from secondread.serve.reads.exports import as_json
from secondread.serve.reads.models import Read, State
from secondread.serve.reads.own import own_finished_read, own_read, user_of
from secondread.serve.reads.pixels import StoredPixels
from secondread.serve.reads.places import image_path
from secondread.serve.reads.views_data import SANDBOX


@require_safe
@login_required
def reading_json(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    found = own_read(user_of(request), identifier)
    record(request, "export", f"read {found.id}", "json")
    return _file(json.dumps(as_json(found), indent=1).encode(), "application/json", f"read-{_short(found)}.json")


@require_safe
@login_required
def report(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    from secondread.serve.reports.sheet import report_pdf

    found = own_finished_read(user_of(request), identifier)
    with _stored(found) as stored:
        content = report_pdf(found, stored)
    record(request, "export", f"read {found.id}", "pdf")
    return _file(content, "application/pdf", f"read-{_short(found)}.pdf")


@require_safe
@login_required
def structured_report(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    """DICOM Structured Report (TID 1500)."""
    from secondread.serve.dicom.objects import objects_of, to_bytes

    found = _decided(request, identifier)
    with _stored(found) as stored:
        written = to_bytes(objects_of(found, stored).report)
    record(request, "export", f"read {found.id}", "structured report")
    return _file(written, "application/dicom", f"read-{_short(found)}-sr.dcm")


@require_safe
@login_required
def secondary_capture(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    """The image with its heatmap and the verdict as a DICOM Secondary Capture."""
    from secondread.serve.dicom.objects import objects_of, to_bytes

    found = _decided(request, identifier)
    with _stored(found) as stored:
        written = to_bytes(objects_of(found, stored).capture)
    record(request, "export", f"read {found.id}", "secondary capture")
    return _file(written, "application/dicom", f"read-{_short(found)}-sc.dcm")


@require_POST
@login_required
def to_archive(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    from secondread.serve.dicom.objects import objects_of

    found = _decided(request, identifier)
    if not pacs_is_configured():
        raise Http404
    with _stored(found) as stored:
        made = objects_of(found, stored)
    try:
        send([made.capture, made.report])
    except NotSent as fault:
        record(request, "send failed", f"read {found.id}")
        messages.error(request, str(fault))
    else:
        record(request, "send", f"read {found.id}")
        messages.success(request, "The report and the capture are in the archive.")
    return redirect("read", identifier)


def _decided(request: HttpRequest, identifier: uuid.UUID) -> Read:
    """A refused read says nothing about the patient: there is nothing to report."""
    found = own_finished_read(user_of(request), identifier)
    if found.state == State.REFUSED:
        raise Http404
    return found


def _stored(found: Read) -> StoredPixels:
    try:
        return StoredPixels(image_path(found.image_id))
    except FileNotFoundError as error:
        raise Http404 from error


def _file(content: bytes, kind: str, name: str) -> HttpResponse:
    response = HttpResponse(content, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["Content-Security-Policy"] = SANDBOX
    return response


def _short(found: Read) -> str:
    return found.id.hex[:8]
