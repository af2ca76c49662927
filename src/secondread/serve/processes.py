"""The processes of the site: one web server and some read workers, started, watched, restarted and ended together."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field

from secondread.core.errors import WrongRequest

PAUSE = 0.3
MOST_PAUSE = 10.0
SETTLED = 30.0
"""Seconds after which a process counts as running well."""
GRACE = 15.0
THREADS = 24
START_SECONDS = 30.0
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(4 << 20), "MALLOC_TRIM_THRESHOLD_": str(16 << 20)}
"""The pages of one upload are kept for the next: asking the kernel for zeroed ones each time costs a millisecond."""


@dataclass
class Child:
    """A process that is kept running."""

    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    pause: float = PAUSE
    due: float = 0.0


@dataclass
class Site:
    """Web server and workers of one machine."""

    host: str
    port: int
    workers: int
    web_processes: int
    children: list[Child] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        """Start everything and return when the web server answers."""
        python = [sys.executable, "-m"]
        name = socket.gethostname()
        self.children = [Child([*python, "secondread.serve.web", self.host, str(self.port), str(self.web_processes)])]
        for at in range(self.workers):
            self.children.append(Child([*python, "secondread.serve.reads.worker", "--name", f"{name}-{at}"]))
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        for child in self.children:
            _start(child)
        try:
            self._await_web()
        except BaseException:
            self.stop()
            raise

    def watch(self) -> None:
        """Restart what dies, until told to stop."""
        try:
            while not self.stopping.wait(0.1):
                for child in self.children:
                    _keep_up(child)
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def stop(self) -> None:
        """End everything: what has been begun is finished first, for a while."""
        running = [child.process for child in self.children if child.process is not None]
        for process in running:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for process in running:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _await_web(self) -> None:
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            web = self.children[0].process
            if web is None or web.poll() is not None:
                raise WrongRequest("the web server did not start; what it said stands above")
            with suppress(OSError), socket.create_connection((host, self.port), 1.0):
                return
            time.sleep(0.05)
        raise WrongRequest("the web server did not start in time")


def _start(child: Child) -> None:
    child.process = subprocess.Popen(
        child.command, stdin=subprocess.DEVNULL, start_new_session=True, env=_environment()
    )
    child.started = time.monotonic()


def _keep_up(child: Child) -> None:
    """Start a process that died again, each time a little later if it keeps dying."""
    now = time.monotonic()
    if child.process is not None and child.process.poll() is not None:
        child.pause = PAUSE if now - child.started > SETTLED else min(2 * child.pause, MOST_PAUSE)
        child.due, child.process = now + child.pause, None
    if child.process is None and now >= child.due:
        _start(child)


def _environment() -> dict[str, str]:
    paths = os.pathsep.join(path for path in sys.path if path)
    return os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} | KEPT_MEMORY
