"""The process that reads: claims rows, runs bundles, writes results. Any number of them; each may die at any time."""

from __future__ import annotations

import argparse
import logging
import os
import random
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import django
from django.db.backends.signals import connection_created

from secondread.core.errors import SecondreadError

log = logging.getLogger("secondread.worker")

POLL = 1.0
REPORT_EVERY = 4.0
SWEEP_EVERY = 30.0
COURTESY = 5
"""How much a worker stands back (nice): when all cores read, who asks the web server is still answered at once."""


class Desk:
    """The loop of one worker. Raises `WrongRequest` for a database that is not that of the data folder."""

    def __init__(self, name: str, threads: int) -> None:
        from django.conf import settings

        from secondread.serve.bundles.shelf import Shelf
        from secondread.serve.reads.bells import WORK, Listener
        from secondread.serve.reads.pulse import Pulse
        from secondread.serve.reads.sweeping import TURNS

        self.name = name
        self.shelf = Shelf(threads)
        self.listener = Listener(settings.FOLDER.bells, WORK)
        self.pulse = Pulse(name)
        self.stopping = False
        self.reported = self.swept = float("-inf")
        self.turn = random.randrange(TURNS)  # so that workers sweep different folders

    def stop(self, *_: Any) -> None:
        self.stopping = True

    def work(self) -> None:
        """Until told to stop; a database that is away is waited for."""
        from django.db import Error, close_old_connections, connection

        fresh = True
        self.pulse.start()
        while not self.stopping:
            try:
                if fresh:
                    from secondread.serve.reads.belonging import refuse_strange_database
                    from secondread.serve.reads.queue import give_back

                    refuse_strange_database()
                    give_back(self.name)
                    fresh = False
                self._duties()
                if not self._read_one():
                    close_old_connections()
                    self.listener.heard(POLL)
            except Error as error:
                log.warning("the database does not answer: %s", type(error).__name__)
                connection.close()
                fresh = True  # what was held is given back once the database answers
                time.sleep(0.5)

    def _duties(self) -> None:
        """What has to be done now and then: report which bundles work here, sweep."""
        from secondread.serve.reads.sweeping import sweep

        now = time.monotonic()
        if now - self.reported > REPORT_EVERY:
            self._report()
            self.reported = now
        if now - self.swept > SWEEP_EVERY:
            sweep(turn=self.turn)
            self.swept, self.turn = now, self.turn + 1

    def _report(self) -> None:
        from django.utils import timezone

        from secondread.serve.reads.models import Worker
        from secondread.serve.reads.queue import give_up

        state = self.shelf.state()
        give_up(self.shelf.withdrawn)
        Worker.objects.update_or_create(name=self.name, defaults={"seen": timezone.now(), "bundles": state})

    def _read_one(self) -> bool:
        from django.conf import settings

        from secondread.serve.reads.bells import RESULT, ring
        from secondread.serve.reads.queue import claim, finish

        read = claim(self.name, self.shelf.ready())
        if read is None:
            return False
        with self.pulse.of(read):
            outcome = self._outcome(read)
        if finish(read, outcome):
            ring(settings.FOLDER.bells, RESULT, read.id)
        else:
            log.info("read %s was lost to another worker or deleted", read.id)
        return True

    def _outcome(self, read: Any) -> Any:
        from secondread.serve.reads.models import State
        from secondread.serve.reads.queue import Result
        from secondread.serve.reads.reading import read_image

        try:
            return read_image(self.shelf.bundle(read.bundle_id), read)
        except FileNotFoundError:
            return Result(State.FAILED, "the stored image is gone")
        except Exception as error:  # whatever a graph or a damaged file throws ends this read, not the worker
            log.exception("read %s failed", read.id)
            return Result(State.FAILED, f"the reading failed: {type(error).__name__}")


def _stand_back() -> None:
    """Let the web server and the database go first. Linux groups processes by session, so the group stands back too."""
    os.nice(COURTESY)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(COURTESY))


def _commit_lightly(connection: Any, **_: Any) -> None:
    """With SQLite a worker does not wait for the disk: what a loss of power takes back is claimed and read again."""
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA synchronous=NORMAL")


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="secondread.serve.reads.worker", description=__doc__)
    parser.add_argument("--name", default=f"{socket.gethostname()}-{os.getpid()}")
    parser.add_argument("--threads", type=int, default=1, help="threads of one run")
    chosen = parser.parse_args(arguments)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "secondread.serve.settings")
    django.setup()
    connection_created.connect(_commit_lightly)
    desk = Desk(chosen.name, chosen.threads)
    signal.signal(signal.SIGTERM, desk.stop)
    signal.signal(signal.SIGINT, desk.stop)
    try:
        desk.work()
    except SecondreadError as error:
        log.error("%s", error)
        sys.exit(error.exit_code)
    finally:
        desk.listener.close()


if __name__ == "__main__":
    from secondread.serve.lifeline import end_with_parent

    end_with_parent()
    _stand_back()
    main()
