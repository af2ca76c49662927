"""Images sent by programs. The body is read only after a place was found for the request."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.exceptions import TooManyFilesSent
from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError

from secondread.serve.accounts.models import User
from secondread.serve.api.faults import Fault
from secondread.serve.api.schemas import read_out
from secondread.serve.bundles.offer import on_offer
from secondread.serve.reads import door
from secondread.serve.reads.admission import PLACES, RETRY_SECONDS, Busy
from secondread.serve.reads.awaiting import await_end
from secondread.serve.reads.models import PENDING, Read
from secondread.serve.reads.own import reads_now
from secondread.serve.reads.places import OutOfSpace
from secondread.serve.reads.streaming import StreamedFile, streamed_body

FILE_TYPES = ("application/dicom", "application/octet-stream", "application/zip")
ONE_OF_THESE = ", ".join(FILE_TYPES)
ONE_FILE = {"schema": {"type": "string", "format": "binary"}}
FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "string", "format": "binary"},
            "description": "PNG, JPEG, TIFF, WebP, BMP or DICOM files, or zip files of them.",
        },
        "bundle": {
            "type": "string",
            "description": "SHA-256 of the model to read with; the first of /bundles when absent.",
        },
    },
}
SUBMIT_BODY = {
    "required": True,
    "description": "A form with any number of files, or one file as it is.",
    "content": {"multipart/form-data": {"schema": FORM}, **dict.fromkeys(("image/png", *FILE_TYPES), ONE_FILE)},
}


def submit_images(request: HttpRequest, user: User, wait: float, bundle: str, name: str) -> dict[str, Any]:
    """Take in the images of the request and wait for their readings; raises `Fault`.

    `bundle` and `name` go with a body that is one file; a form says them itself.
    """
    try:
        with PLACES.one():
            entered = _entered(request, user, bundle, name)
    except Busy as error:
        raise Fault(503, "busy", "Many images are being read. Try again in a moment.", RETRY_SECONDS) from error
    except OutOfSpace as error:
        raise Fault(507, "disk_full", "The disk of this site is full; nothing was stored.") from error
    except door.OverQuota as error:
        raise Fault(413, "quota", "Your share of the disk is used up. Delete some reads first.") from error
    except door.Vanished as error:
        raise Fault(409, "vanished", "One of the images was deleted meanwhile. Send it again.") from error
    if not entered.reads:
        _, code, reason = entered.refused[0]
        raise Fault(422, code, reason)
    _await_all([read for _, read in entered.reads if read.pending], wait)
    return _told(user, entered)


def _await_all(waiting: list[Read], seconds: float) -> None:
    """Return when all have ended or the time is over: the last first, since most have ended before it."""
    deadline = time.monotonic() + min(seconds, settings.LIMITS.wait_seconds)
    while waiting and (left := deadline - time.monotonic()) > 0:
        await_end(waiting.pop(), left)
        if waiting:
            others = Read.objects.filter(id__in=[read.id for read in waiting], state__in=PENDING)
            still = set(others.values_list("id", flat=True))
            waiting = [read for read in waiting if read.id in still]


def _entered(request: HttpRequest, user: User, bundle: str, name: str) -> door.Entered:
    if request.content_type == "multipart/form-data":
        files, bundle = _of_form(request)
    else:
        files = _of_body(request, name)
    if fault := getattr(request, "upload_fault", ""):
        raise Fault(413, "too_large", f"Not taken: {fault}.")
    offer = on_offer()
    chosen = offer.chosen(bundle) if bundle else offer.first
    if chosen is None:
        raise Fault(422, "no_bundle", "This site offers no such model.")
    if not files:
        raise Fault(422, "no_file", "Send at least one file: in the field `image` of a form, or as the body.")
    return door.take_in(request, user, files, chosen, offer)


def _of_form(request: HttpRequest) -> tuple[list[StreamedFile], str]:
    """The files of a form and the model that it names."""
    try:
        files = [file for file in request.FILES.getlist("image") if isinstance(file, StreamedFile)]
        return files, request.POST.get("bundle", "")
    except MultiPartParserError as error:
        raise Fault(422, "not_multipart", "The body is no multipart form.") from error
    except TooManyFilesSent as error:
        raise Fault(413, "too_many_files", f"At most {settings.LIMITS.files} files are taken at once.") from error


def _of_body(request: HttpRequest, name: str) -> list[StreamedFile]:
    """The one file that the body is. What kind it is, its bytes will tell; its type only says that it is no form."""
    kind = request.content_type or ""
    if not int(request.META.get("CONTENT_LENGTH") or 0):
        return []
    if not (kind.startswith("image/") or kind in FILE_TYPES):
        raise Fault(415, "unsupported_type", f"Send multipart/form-data, or a file as image/… or {ONE_OF_THESE}.")
    try:
        file = streamed_body(request, name)
    except EOFError as error:
        raise Fault(422, "cut_short", "The body ended before its Content-Length.") from error
    return [file] if file is not None else []


def _told(user: User, entered: door.Entered) -> dict[str, Any]:
    found = reads_now(user, list({read.id: None for _, read in entered.reads}))
    told = []
    for label, read in entered.reads:  # copies of one image are one read under several names
        if now := found.get(read.id):
            now.image, now.bundle = read.image, read.bundle  # as they were entered
            told.append(read_out(now) | {"file": label})
    refused = [{"file": label, "code": code, "reason": reason} for label, code, reason in entered.refused]
    return {"reads": told, "not_taken": refused}
