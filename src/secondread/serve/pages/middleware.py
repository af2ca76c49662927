"""What every response has in common."""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from secondread.serve.pages.failures import answer
from secondread.serve.reads.streaming import forget

Next = Callable[[HttpRequest], HttpResponseBase]
UPLOADS = ("/read/", "/api/reads")
SMALL = 1 << 20


def private(get_response: Next) -> Next:
    """Pages with somebody's data are kept by no cache; no page may use the device.

    Pixels stay for an hour in the browser of who looks at them, which at a shared workstation the next one may open:
    when somebody leaves, the browser is told to forget them.
    """

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault(
            "Permissions-Policy", "camera=(), microphone=(), geolocation=(), payment=(), usb=(), interest-cohort=()"
        )
        response.headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        if getattr(request, "left", False):
            response.headers["Clear-Site-Data"] = '"cache"'
        if request.method == "HEAD":
            _without_body(response)
        return response

    return respond


def _without_body(response: HttpResponseBase) -> None:
    """Monitors ask by HEAD: gunicorn would write a warning about each answer that has a body all the same."""
    if isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()
    elif isinstance(response, HttpResponse):
        response.content = b""


def whole_body(get_response: Next) -> Next:
    """Bodies of unknown or needless size are turned away unread; what arrived of uploads is removed at the end."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        if request.META.get("HTTP_TRANSFER_ENCODING"):
            return answer(request, 411, "Length required", "Send the request with a Content-Length.")
        if request.META.get("HTTP_CONTENT_ENCODING", "identity") != "identity":
            return answer(request, 415, "Not taken", "Send the body without Content-Encoding.")
        allowed = settings.LIMITS.request_bytes + SMALL if request.path.startswith(UPLOADS) else SMALL
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            return answer(request, 400, "Bad request", "The Content-Length is no number.")
        if length > allowed:
            return answer(request, 413, "Too large", f"At most {allowed >> 20} MB are taken at once.")
        try:
            return get_response(request)
        finally:
            forget(getattr(request, "streamed", []))

    return respond
