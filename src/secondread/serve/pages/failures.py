"""Pages and JSON for what went wrong: never a stack trace, always what to do next."""

from __future__ import annotations

import logging
import sys
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

TITLES = {400: "That request makes no sense", 403: "Not allowed", 404: "Nothing here", 500: "Our fault"}


def wants_json(request: HttpRequest) -> bool:
    return request.path.startswith(("/api/", "/health/")) or "application/json" in request.headers.get("Accept", "")


def answer(
    request: HttpRequest, status: int, title: str, detail: str, *, retry: int | None = None, code: str = ""
) -> HttpResponse:
    """The failure as JSON for programs and as a page for people."""
    response: HttpResponse
    if wants_json(request):
        response = JsonResponse({"code": code or str(status), "detail": detail}, status=status)
    else:
        # rendered without the request: no database may be asked here
        page = render_to_string("failure.html", {"title": title, "detail": detail, "status": status})
        response = HttpResponse(page, status=status)
    if retry is not None:
        response["Retry-After"] = str(retry)
    return response


def too_many(request: HttpRequest) -> HttpResponse:
    """Called by allauth, whose limits are of a minute or an hour."""
    detail = "More was tried from your address than this site allows. Wait a while and try again."
    return answer(request, 429, "Too many tries", detail, retry=60)


def bad_request(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return answer(request, 400, TITLES[400], "The browser or program sent something this site cannot understand.")


def forbidden(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return answer(request, 403, TITLES[403], "Your account may not do this.")


def not_found(request: HttpRequest, exception: Any = None) -> HttpResponse:
    return answer(request, 404, TITLES[404], "There is nothing at this address, or it is not yours.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Called while the exception is handled: a database that does not answer is a pause, not an error of ours."""
    error = sys.exc_info()[1]
    if isinstance(error, OperationalError | InterfaceError):
        connection.close()
        if "disk is full" in str(error) or "No space left" in str(error):
            return answer(request, 507, "The disk is full", "Nothing was stored. The operator has to make room.")
        return answer(request, 503, "Back in a moment", "The database does not answer. Nothing is lost.", retry=5)
    return answer(request, 500, TITLES[500], "Something went wrong on the server. It was logged; please try again.")


class OnlyFaults(logging.Filter):
    """Lets errors of ours into the log, not the pauses (503, 507) that a busy site answers with by the thousand."""

    def filter(self, record: logging.LogRecord) -> bool:
        return getattr(record, "status_code", 500) not in (503, 507)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    return answer(request, 403, "Please try again", "The form had expired. Go back, reload the page and send it again.")
