"""The web server process: gunicorn with threads, each worker process loading the application after the fork."""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from secondread.serve.lifeline import end_with_parent
from secondread.serve.processes import THREADS

GOODBYE = 0.2
"""Seconds for which a connection that ends waits for its client to hang up."""
SILENCE = 20.0
"""Seconds after which a client that says nothing in the middle of its request loses the thread that listens to it."""


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """Takes leave of a client in its own thread; gunicorn does so, for two seconds, in the one that accepts all."""

    def handle(self, conn: Any) -> Any:
        seconds, rest = divmod(SILENCE, 1)  # the kernel's own limit: gunicorn sets its sockets to wait for ever
        conn.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", int(seconds), int(1e6 * rest)))
        goes_on = super().handle(conn)
        if goes_on is False:
            close_graceful(conn.sock, GOODBYE)
        return goes_on


class Log(Logger):  # type: ignore[misc]
    """Names no visitor: gunicorn would write down the address of who sends nonsense, and the nonsense."""

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if not str(msg).startswith("Invalid request from"):
            super().warning(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        if not isinstance(sys.exc_info()[1], BlockingIOError):  # else a client fell silent, which is no fault of ours
            super().exception(msg, *args, **kwargs)


def main(host: str, port: str, processes: str) -> None:
    from gunicorn.app.wsgiapp import run

    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    sys.argv = [
        "gunicorn", "secondread.serve.wsgi:application",
        "--bind", address, "--workers", processes, "--threads", str(THREADS),
        "--worker-class", "secondread.serve.web.Worker",
        "--timeout", "60", "--graceful-timeout", "20", "--keep-alive", "15", "--max-requests", "0",
        "--limit-request-line", "4094", "--no-control-socket", *_beats_in_memory(),
        "--log-level", "warning", "--error-logfile", "-", "--logger-class", "secondread.serve.web.Log",
    ]  # fmt: skip
    run()


def _beats_in_memory() -> list[str]:
    """Heartbeats of the worker processes are files; on a slow disk they would look dead."""
    return ["--worker-tmp-dir", "/dev/shm"] if Path("/dev/shm").is_dir() else []


if __name__ == "__main__":
    end_with_parent()
    main(*sys.argv[1:])
