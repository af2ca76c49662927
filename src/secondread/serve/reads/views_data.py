"""Pixels for the viewer: made by us from decoded images, never the bytes that were uploaded."""

from __future__ import annotations

import gzip
import io
import json
import uuid

import numpy as np
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_safe
from PIL import Image

from secondread.serve.audit.record import record_view
from secondread.serve.reads.models import Read
from secondread.serve.reads.own import own_finished_read, own_read, user_of
from secondread.serve.reads.pixels import StoredPixels
from secondread.serve.reads.places import image_path
from secondread.serve.reads.reading import unpacked_heat

SMALL = 1 << 14
SANDBOX = "default-src 'none'; sandbox"


@require_safe
@login_required
def pixels(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    """Grey values, little-endian: uint8 or uint16 [h,w], or uint8 [h,w,3]; the shape is in X-Shape."""
    found = own_read(user_of(request), identifier)
    with _stored(found) as stored:
        shown = stored.on_screen()
    record_view(request, f"read {found.id}")  # the page that asks has just been written down; others have not
    return _buffer(request, shown.astype(shown.dtype.newbyteorder("<")).tobytes(), list(shown.shape), str(shown.dtype))


@require_safe
@login_required
def heatmap(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    """Heatmaps uint8 [K,h,w], 255 at the strongest of all classes."""
    found = own_finished_read(user_of(request), identifier)
    maps = unpacked_heat(found)
    if maps is None or found.state == "refused":
        raise Http404
    record_view(request, f"read {found.id}")
    scaled = np.round(maps * 255.0).astype(np.uint8)
    return _buffer(request, scaled.tobytes(), list(scaled.shape), "uint8")


@require_safe
@login_required
def thumbnail(request: HttpRequest, identifier: uuid.UUID) -> HttpResponse:
    found = own_read(user_of(request), identifier)
    with _stored(found) as stored:
        picture = Image.fromarray(stored.thumbnail)
    written = io.BytesIO()
    picture.save(written, "PNG", compress_level=1)
    return _kept(HttpResponse(written.getvalue(), content_type="image/png"))


def _stored(found: Read) -> StoredPixels:
    try:
        return StoredPixels(image_path(found.image_id))
    except FileNotFoundError as error:
        raise Http404 from error


def _buffer(request: HttpRequest, content: bytes, shape: list[int], kind: str) -> HttpResponse:
    packed = len(content) > SMALL and "gzip" in request.headers.get("Accept-Encoding", "")
    response = HttpResponse(gzip.compress(content, 1) if packed else content, content_type="application/octet-stream")
    if packed:
        response["Content-Encoding"] = "gzip"
    response["X-Shape"] = json.dumps(shape)
    response["X-Kind"] = kind
    patch_vary_headers(response, ["Accept-Encoding"])
    return _kept(response)


def _kept(response: HttpResponse) -> HttpResponse:
    """What never changes may stay in its owner's browser; opened on its own it can do nothing."""
    response["Cache-Control"] = "private, max-age=3600, immutable"
    response["Content-Security-Policy"] = SANDBOX
    response["X-Content-Type-Options"] = "nosniff"
    return response
