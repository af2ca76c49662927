"""Waking processes: named pipes in the data folder, one per listener. A lost ring only costs a moment of polling."""

from __future__ import annotations

import errno
import os
import select
import threading
import uuid
from collections import deque
from pathlib import Path

WORK, RESULT = "work", "result"
RING = 16  # bytes of one message, an identifier; smaller than PIPE_BUF, so that messages never mix
JUST_NOW = 16
"""Rings heard while nobody waited that are remembered, for who saw the read pending and comes a moment too late."""


class Listener:
    """A pipe that others ring. Not for sharing between threads."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.path = folder / f"{kind}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        os.mkfifo(self.path, 0o600)
        # opened for writing too, so that it never reads an end of file
        self.handle = os.open(self.path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def heard(self, seconds: float) -> list[uuid.UUID]:
        """Identifiers rung meanwhile; waits at most so long for the first."""
        if not select.select([self.handle], [], [], seconds)[0]:
            return []
        try:
            message = os.read(self.handle, 256 * RING)
        except BlockingIOError:
            return []
        return [uuid.UUID(bytes=message[at : at + RING]) for at in range(0, len(message) - RING + 1, RING)]

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self.handle)


def ring(folder: Path, kind: str, about: uuid.UUID) -> None:
    """Wake every listener of this kind; listeners that are gone are swept from the folder."""
    for path in folder.glob(f"{kind}-*"):
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except FileNotFoundError:
            continue
        except OSError as error:
            if error.errno == errno.ENXIO:  # nobody listens: its process died
                path.unlink(missing_ok=True)
            continue
        try:
            os.write(handle, about.bytes)
        except (BlockingIOError, BrokenPipeError):
            pass  # full: it has enough reasons to wake up; or its process ended just now
        finally:
            os.close(handle)


class Waiters:
    """Threads of one process that wait for results; one of them listens for all."""

    def __init__(self, folder: Path) -> None:
        self.listener = Listener(folder, RESULT)
        self.events: dict[uuid.UUID, list[threading.Event]] = {}
        self.rung: deque[uuid.UUID] = deque(maxlen=JUST_NOW)
        self.lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True, name="results").start()

    def expect(self, about: uuid.UUID) -> threading.Event:
        """An event that is set when `about` is rung or was just now; give it back with `done`."""
        event = threading.Event()
        with self.lock:
            if about in self.rung:
                self.rung.remove(about)  # once: a read that is begun anew is waited for again
                event.set()
            self.events.setdefault(about, []).append(event)
        return event

    def done(self, about: uuid.UUID, event: threading.Event) -> None:
        with self.lock:
            waiting = self.events.get(about, [])
            if event in waiting:
                waiting.remove(event)
            if not waiting:
                self.events.pop(about, None)

    def _listen(self) -> None:
        while True:
            for about in self.listener.heard(60.0):
                with self.lock:
                    waiting = list(self.events.get(about, []))
                    if not waiting:
                        self.rung.append(about)
                for event in waiting:
                    event.set()
