"""How long somebody stays logged in: until the browser closes or nothing was asked for an hour, unless they said
otherwise at log-in. At a shared workstation the next one sits down before a browser that nobody closed."""

from __future__ import annotations

import time
from collections.abc import Callable

from django.conf import settings
from django.contrib.auth import SESSION_KEY
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.http.response import HttpResponseBase

ASKED = "asked"
STEPS = 10
"""A session is written once in this part of its time, not with every page."""
PAGES = ("text/html", "application/json")


def begin(session: SessionBase) -> None:
    """At log-in, which writes the session anyway: the first pages need not."""
    session[ASKED] = int(time.time())


def prolong(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Middleware: who asks for pages stays. Pictures do not prolong: many come at once, and one session is written."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        session = request.session
        if not session.accessed or not response.headers.get("Content-Type", "").startswith(PAGES):
            return response
        if SESSION_KEY in session and session.get_expire_at_browser_close():  # who is remembered has a number of days
            now = int(time.time())
            if now - session.get(ASKED, 0) > settings.SESSION_COOKIE_AGE / STEPS:
                session[ASKED] = now
        return response

    return respond
