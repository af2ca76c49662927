"""The end of a request: a refused upload is still on its way when its answer has left, and some clients never hang up.

A connection that is closed with bytes unread is reset, and its client may never see the answer (RFC 9112, section 9.6);
gunicorn waits for such a client in the one thread that takes in all others. So what comes is read and thrown away here,
after the answer, for a while; who sends more, or too slowly, or asked for the connection to be closed, is cut off.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Protocol

CHUNK = 1 << 16
MOST_BYTES = 32 << 20
SECONDS = 3.0

Environ = dict[str, Any]


class Application(Protocol):
    """What WSGI (PEP 3333) calls an application."""

    def __call__(self, environ: Environ, start_response: Any) -> Iterable[bytes]: ...


def without_leftovers(application: Application) -> Application:
    """The same application; when a response has been sent, nothing of its request is left on its connection."""

    def respond(environ: Environ, start_response: Any) -> Iterable[bytes]:
        parts = application(environ, start_response)
        is_file = isinstance(parts, environ.get("wsgi.file_wrapper", ()))
        return parts if is_file else _Answer(parts, environ)  # servers send files faster when they recognise them

    return respond


class _Answer:
    """The parts of a response; closing it, which servers do when all was sent, ends the request too."""

    def __init__(self, parts: Iterable[bytes], environ: Environ) -> None:
        self.parts, self.environ = parts, environ

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.parts)

    def close(self) -> None:
        try:
            close = getattr(self.parts, "close", None)
            if close is not None:
                close()
        finally:
            if not _can_be_used_again(self.environ):
                _cut(self.environ)


def _can_be_used_again(environ: Environ) -> bool:
    wish = environ.get("HTTP_CONNECTION", "").lower()
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return False  # a body of unknown length is never taken in here, so nothing of it is waited for either
    if environ.get("CONTENT_LENGTH") and not _thrown_away(environ):
        return False
    return wish == "keep-alive" or (wish != "close" and environ.get("SERVER_PROTOCOL") != "HTTP/1.0")


def _thrown_away(environ: Environ) -> bool:
    """Read what is left of the body; whether it ended within `MOST_BYTES` and `SECONDS`."""
    connection, body = environ.get("gunicorn.socket"), environ["wsgi.input"]
    deadline, left = time.monotonic() + SECONDS, MOST_BYTES
    before = connection.gettimeout() if connection is not None else None
    try:
        while left > 0:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if connection is not None:
                connection.settimeout(remaining)
            chunk = body.read(CHUNK)
            if not chunk:
                return True
            left -= len(chunk)
        return False
    except OSError:  # too slow, or gone
        return False
    finally:
        if connection is not None:
            with suppress(OSError):
                connection.settimeout(before)


def _cut(environ: Environ) -> None:
    """End the connection, so that the server does not wait for its client."""
    connection = environ.get("gunicorn.socket")
    if connection is not None:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
