"""Readings longer than a lease, by real worker processes: who lives keeps the read, who dies or hangs loses it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from serve_pictures import disc, png
from serve_tiny_bundle import opened, tiny_bundle

from secondread.models.bundle.opened import sealed_files
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads import queue
from secondread.serve.reads.bells import RESULT, Listener
from secondread.serve.reads.models import PENDING, Read, State, Worker
from secondread.serve.reads.pulse import HUNG

LEASE = 2
LONGER = 1.75
"""Of a lease: what one reading takes."""
SIZE, FEW = 512, 20
PATIENCE = 120.0


@pytest.fixture(scope="module")
def slow_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose reading takes about `LONGER` leases here, however fast this machine is."""
    folder = tmp_path_factory.mktemp("slow")
    probe, image = opened(folder / "probe", size=SIZE, slowed=FEW, gate=False), np.zeros((1, 1, SIZE, SIZE), np.uint8)
    started = time.perf_counter()
    probe.run(image)
    turns = round(FEW * LONGER * LEASE / (time.perf_counter() - started))
    return Path(tiny_bundle(folder / "slow", size=SIZE, slowed=turns, gate=False))


@pytest.fixture
def slow(unguarded: None, slow_path: Path) -> RegisteredBundle:
    card = sealed_files(slow_path)[0]
    return RegisteredBundle.objects.create(sha256=card.sha256, name=card.name, path=str(slow_path), card=card.to_json())


@contextmanager
def worker(name: str, **limits: int) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process on the database and the folder of these tests."""
    name_of_database = str(connection.settings_dict["NAME"])
    address = f"sqlite:///{name_of_database}"
    if connection.vendor != "sqlite":
        address = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name_of_database}").geturl()
    environment = os.environ | {
        "DATABASE_URL": address, "SECONDREAD_FOLDER": str(settings.FOLDER.root),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        **{f"SECONDREAD_LIMIT_{limit.upper()}": str(value) for limit, value in limits.items()},
    }  # fmt: skip
    start = f"from secondread.serve.reads.worker import main; main(['--name', {name!r}])"
    process = subprocess.Popen([sys.executable, "-c", start], env=environment)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def until() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Wait for something to be true, looking at every ring and a few times a second."""
    bell = Listener(settings.FOLDER.bells, RESULT)

    def wait(true: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + PATIENCE
        while not (told := true()):
            assert time.monotonic() < deadline
            bell.heard(0.1)
        return told

    yield wait
    bell.close()


def sent(client: Client, bundle: RegisteredBundle, size: int) -> Any:
    """The read of a new image, which waits."""
    body = {"bundle": bundle.sha256, "image": SimpleUploadedFile("x.png", png(disc(size)))}
    answer = client.post("/read/", body, HTTP_ACCEPT="application/json")
    return Read.objects.filter(id=answer.json()["reads"][0]["id"])


def test_who_lives_keeps_a_long_reading_and_who_dies_loses_it(
    slow: RegisteredBundle, as_alice: Client, until: Callable[[Callable[[], Any]], Any]
) -> None:
    stolen, seen, leases = [], set(), set()

    def ended() -> bool:
        stolen.append(queue.claim("rival", [slow.sha256]))
        leases.update(read.filter(state=State.RUNNING).values_list("lease_until", flat=True))
        seen.update(Worker.objects.values_list("seen", flat=True))
        return not read.filter(state__in=PENDING).exists()

    with worker("first", lease_seconds=LEASE) as process:
        read = sent(as_alice, slow, 61)
        until(lambda: read.filter(state=State.RUNNING).exists())
        until(ended)
        told = read.get()
        assert (told.state in (State.READ, State.UNCERTAIN), told.attempt, told.worker) == (True, 1, "first")
        assert not any(stolen)
        assert len(leases) > 1
        assert len(seen) > 1  # it was seen to be there while it read

        other = sent(as_alice, slow, 62)
        until(lambda: other.filter(state=State.RUNNING).exists())
        process.kill()
        taken = until(lambda: queue.claim("rival", [slow.sha256]))
    assert (taken.id, taken.attempt) == (other.get().id, 2)


def test_who_hangs_ends_and_its_read_goes_on(
    slow: RegisteredBundle, as_alice: Client, until: Callable[[Callable[[], Any]], Any]
) -> None:
    with worker("hanging", lease_seconds=LEASE, read_seconds=1) as process:
        read = sent(as_alice, slow, 63)
        assert process.wait(PATIENCE) == HUNG
    assert until(lambda: queue.claim("rival", [slow.sha256])).id == read.get().id
