"""Images sent by programs. The body is read only after a place was found for the request."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.multipartparser import MultiPartParserError

from secondread.serve.accounts.models import User
from secondread.serve.api.faults import Fault
from secondread.serve.api.schemas import read_out
from secondread.serve.bundles.offer import on_offer
from secondread.serve.reads import door
from secondread.serve.reads.admission import PLACES, RETRY_SECONDS, Busy
from secondread.serve.reads.awaiting import await_end
from secondread.serve.reads.jail import OutOfSpace
from secondread.serve.reads.own import reads_now
from secondread.serve.reads.streaming import StreamedFile

SUBMIT_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
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
        }
    },
}


def submit_images(request: HttpRequest, user: User, wait: float) -> dict[str, Any]:
    """Take in the images of the request and wait for the last of them; raises `Fault`."""
    try:
        with PLACES.one():
            entered = _entered(request, user)
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
    await_end(entered.reads[-1][1], wait)
    return _told(user, entered)


def _entered(request: HttpRequest, user: User) -> door.Entered:
    try:
        files = [file for file in request.FILES.getlist("image") if isinstance(file, StreamedFile)]
        wanted = request.POST.get("bundle", "")
    except MultiPartParserError as error:
        raise Fault(422, "not_multipart", "The body is no multipart form.") from error
    fault = getattr(request, "upload_fault", "")
    if fault:
        raise Fault(413, "too_large", f"Not taken: {fault}.")
    offer = on_offer()
    bundle = offer.chosen(wanted) if wanted else offer.first
    if bundle is None:
        raise Fault(422, "no_bundle", "This site offers no such model.")
    if not files:
        raise Fault(422, "no_file", "Send at least one file in the field `image`.")
    return door.take_in(request, user, files, bundle, offer)


def _told(user: User, entered: door.Entered) -> dict[str, Any]:
    labels = {read.id: label for label, read in entered.reads}
    found = reads_now(user, list(labels))
    told = []
    for _, read in entered.reads:
        if now := found.get(read.id):
            now.image, now.bundle = read.image, read.bundle  # as they were entered
            told.append(read_out(now) | {"file": labels[read.id]})
    refused = [{"file": label, "code": code, "reason": reason} for label, code, reason in entered.refused]
    return {"reads": told, "not_taken": refused}
