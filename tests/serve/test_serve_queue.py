"""The read row as the queue: claimed once, finished once, never lost, whoever dies."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from serve_pictures import disc, png

from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads import awaiting, queue
from secondread.serve.reads.awaiting import await_end
from secondread.serve.reads.bells import WORK, Listener, Waiters, ring
from secondread.serve.reads.models import Read, State, StoredImage
from secondread.serve.reads.queue import Result

DONE = Result(State.READ, decision="normal")


def entered(owner: User, bundle: RegisteredBundle, count: int) -> list[Read]:
    now = timezone.now()
    images = [StoredImage(owner=owner, content_id=f"{at:064d}") for at in range(count)]
    StoredImage.objects.bulk_create(images)
    return Read.objects.bulk_create(
        [Read(owner=owner, image=image, bundle=bundle, created=now + timedelta(seconds=at))
         for at, image in enumerate(images)]
    )  # fmt: skip


def run_out(read: Read) -> None:
    Read.objects.filter(id=read.id).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_read_is_claimed_once_and_in_order(alice: User, bundle: RegisteredBundle) -> None:
    reads = entered(alice, bundle, 5)
    claimed = [queue.claim("one", [bundle.sha256]) for _ in range(5)]
    assert {read.id for read in claimed if read} == {read.id for read in reads}
    assert claimed[0] is not None
    assert claimed[0].id in {reads[0].id, reads[1].id}
    assert queue.claim("two", [bundle.sha256]) is None


@pytest.mark.skipif(connection.vendor != "sqlite", reason="what others plan depends on how much they hold")
@pytest.mark.parametrize("bundles", [1, 3])
def test_what_was_read_is_not_looked_at_to_find_what_waits(bundles: int, alice: User, bundle: RegisteredBundle) -> None:
    entered(alice, bundle, 1)
    with CaptureQueriesContext(connection) as asked:
        assert queue.claim("a", [bundle.pk, *("0" * 63 + str(at) for at in range(1, bundles))])
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {asked[0]['sql']}")
        plan = [told for *_, told in cursor.fetchall()]
    searched = [told for told in plan if told.startswith(("SEARCH", "SCAN"))]
    assert searched
    assert all("state=?" in told for told in searched), plan


def test_only_bundles_that_can_be_read_with_are_claimed(alice: User, bundle: RegisteredBundle) -> None:
    entered(alice, bundle, 1)
    assert queue.claim("one", []) is None
    assert queue.claim("one", ["0" * 64]) is None
    assert queue.claim("one", [bundle.sha256]) is not None


def test_a_lost_read_goes_to_the_next_and_the_first_cannot_write(alice: User, bundle: RegisteredBundle) -> None:
    entered(alice, bundle, 1)
    first = queue.claim("one", [bundle.sha256])
    assert first is not None
    run_out(first)
    second = queue.claim("two", [bundle.sha256])
    assert second is not None
    assert second.attempt == 2
    assert not queue.finish(first, Result(State.FAILED, "too late"))
    assert queue.finish(second, DONE)
    assert not queue.finish(second, DONE)
    stored = Read.objects.get()
    assert (stored.state, stored.decision) == (State.READ, "normal")


def test_a_worker_that_starts_again_gives_back_what_it_held(alice: User, bundle: RegisteredBundle) -> None:
    entered(alice, bundle, 2)
    mine, other = queue.claim("one", [bundle.sha256]), queue.claim("two", [bundle.sha256])
    assert mine is not None
    assert other is not None
    assert queue.give_back("one") == 1
    again = queue.claim("one", [bundle.sha256])
    assert again is not None
    assert (again.id, again.attempt) == (mine.id, 2)
    assert queue.finish(other, DONE)


def test_a_read_that_kills_its_workers_is_given_up(alice: User, bundle: RegisteredBundle) -> None:
    entered(alice, bundle, 1)
    for attempt in range(settings.LIMITS.attempts):
        read = queue.claim(f"worker {attempt}", [bundle.sha256])
        assert read is not None
        run_out(read)
    assert queue.claim("last", [bundle.sha256]) is None
    assert Read.objects.get().state == State.FAILED
    assert "several times" in Read.objects.get().reason


def test_a_deleted_read_is_not_written(alice: User, bundle: RegisteredBundle) -> None:
    entered(alice, bundle, 1)
    read = queue.claim("one", [bundle.sha256])
    assert read is not None
    Read.objects.all().delete()
    assert not queue.finish(read, DONE)
    assert not Read.objects.exists()


def test_a_failed_read_is_begun_anew_when_the_image_is_sent_again(
    as_alice: Client, bundle: RegisteredBundle, submit: Callable[..., Read]
) -> None:
    content = png(disc(33))
    first = submit(as_alice, bundle, content)
    Read.objects.filter(id=first.id).update(state=State.FAILED, attempt=9)
    again = submit(as_alice, bundle, content)
    assert again.id == first.id
    assert again.state in (State.READ, State.UNCERTAIN)


@given(seed=st.integers(0, 10_000))
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture],
                     derandomize=True)  # fmt: skip
def test_whatever_happens_in_between_every_read_ends_once(seed: int, alice: User, bundle: RegisteredBundle) -> None:
    """A random course of claims, deaths, leases running out, restarts and late results."""
    drawn = random.Random(seed)
    Read.objects.all().delete()
    StoredImage.objects.all().delete()
    reads = entered(alice, bundle, 6)
    held: list[Read] = []
    written: list[uuid.UUID] = []
    for _ in range(60):
        deed = drawn.choice(["claim", "claim", "finish", "finish", "run out", "restart"])
        if deed == "claim":
            read = queue.claim(f"w{drawn.randrange(3)}", [bundle.sha256])
            held += [read] if read else []
        elif deed == "finish" and held:
            read = held.pop(drawn.randrange(len(held)))
            written += [read.id] if queue.finish(read, DONE) else []
        elif deed == "run out" and held:
            run_out(drawn.choice(held))
        elif deed == "restart":
            queue.give_back(f"w{drawn.randrange(3)}")
    Read.objects.filter(state=State.RUNNING).update(lease_until=timezone.now() - timedelta(seconds=1))
    while (read := queue.claim("end", [bundle.sha256])) is not None:
        assert queue.finish(read, DONE)
        written.append(read.id)
    assert len(written) == len(set(written))
    states = dict(Read.objects.values_list("id", "state"))
    assert set(states) == {read.id for read in reads}
    assert all(state in (State.READ, State.FAILED) for state in states.values())
    assert set(written) == {name for name, state in states.items() if state == State.READ}


@pytest.mark.django_db(transaction=True)
def test_parallel_workers_share_the_queue(unguarded: None, alice: User, bundle: RegisteredBundle) -> None:
    entered(alice, bundle, 30)
    claimed: list[uuid.UUID] = []

    def work(name: str) -> None:
        try:
            while (read := queue.claim(name, [bundle.sha256])) is not None:
                assert queue.finish(read, DONE)
                claimed.append(read.id)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(f"w{at}",)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == Read.objects.filter(state=State.READ).count()
    assert not Read.objects.filter(state=State.RUNNING).exists()


@pytest.mark.django_db(transaction=True)
def test_parallel_uploads_of_one_image_and_of_many(unguarded: None, alice: User, bundle: RegisteredBundle) -> None:
    """Nobody is told of a locked database; one object is stored per owner and content."""
    answers: list[int] = []
    contents = [png(disc(40))] * 8 + [png(disc(41 + at)) for at in range(8)]
    lock = threading.Lock()

    def send(content: bytes) -> None:
        try:
            client = Client()
            with lock:
                client.force_login(alice)
            body = {"bundle": bundle.sha256, "image": SimpleUploadedFile("x.png", content)}
            answers.append(client.post("/read/", body, HTTP_ACCEPT="application/json").status_code)
        finally:
            connection.close()

    threads = [threading.Thread(target=send, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) <= {200, 503}
    assert answers.count(200) >= settings.LIMITS.uploads
    assert StoredImage.objects.count() == StoredImage.objects.values("content_id").distinct().count()
    assert StoredImage.objects.count() == sum(1 for path in settings.FOLDER.images.rglob("*.npz"))
    alice.refresh_from_db()
    assert alice.stored_bytes == sum(StoredImage.objects.values_list("stored_bytes", flat=True))


def test_bells_ring_for_who_listens_and_forget_the_dead(tmp_path: Any) -> None:
    about = uuid.uuid4()
    listener = Listener(tmp_path, WORK)
    ring(tmp_path, WORK, about)
    ring(tmp_path, "result", uuid.uuid4())
    assert listener.heard(1.0) == [about]
    assert listener.heard(0.0) == []
    for _ in range(10_000):  # more than the pipe holds: nobody is blocked
        ring(tmp_path, WORK, about)
    path = listener.path
    listener.close()
    import os

    os.mkfifo(path)
    ring(tmp_path, WORK, about)
    assert not path.exists()


def test_who_ends_while_it_is_rung_disturbs_nobody(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else an upload that was taken in would be answered as an error, or a worker end."""
    leaving, opened = Listener(tmp_path, WORK), os.open

    def open_and_leave(path: Any, flags: int) -> int:
        handle = opened(path, flags)
        leaving.close()
        return handle

    monkeypatch.setattr("secondread.serve.reads.bells.os.open", open_and_leave)
    ring(tmp_path, WORK, uuid.uuid4())


def test_a_waiting_thread_is_woken_by_its_read_alone(tmp_path: Any) -> None:
    waiters = Waiters(tmp_path)
    mine, other = uuid.uuid4(), uuid.uuid4()
    event, second = waiters.expect(mine), waiters.expect(other)
    ring(tmp_path, "result", mine)
    assert event.wait(5.0)
    assert not second.is_set()
    waiters.done(mine, event)
    waiters.done(other, second)
    assert not waiters.events


def test_a_ring_that_nobody_waited_for_wakes_the_first_who_comes_and_no_other(tmp_path: Any) -> None:
    waiters = Waiters(tmp_path)
    ended, next_one = uuid.uuid4(), uuid.uuid4()
    heard = waiters.expect(next_one)
    ring(tmp_path, "result", ended)  # between being seen and being waited for
    ring(tmp_path, "result", next_one)
    assert heard.wait(5.0)  # and so the ring before it was heard too
    assert waiters.expect(ended).is_set()
    assert not waiters.expect(ended).is_set()  # begun anew
    assert not waiters.expect(next_one).is_set()  # somebody did wait


def test_nobody_waits_for_a_read_that_has_ended(alice: User, bundle: RegisteredBundle) -> None:
    (read,) = entered(alice, bundle, 1)
    read.state = State.READ
    started = time.monotonic()
    await_end(read, 10.0)
    assert time.monotonic() - started < awaiting.LOOK_EVERY


def test_a_lost_ring_delays_who_waits_by_one_look(alice: User, bundle: RegisteredBundle) -> None:
    (read,) = entered(alice, bundle, 1)
    Read.objects.filter(id=read.id).update(state=State.READ)
    started = time.monotonic()
    await_end(read, 10.0)
    assert awaiting.LOOK_EVERY <= time.monotonic() - started < 5.0


def test_copies_in_one_request_are_stored_and_charged_once(as_alice: Client, alice: User, bundle: Any) -> None:
    copies = [SimpleUploadedFile(f"{at}.png", png(disc())) for at in range(3)]
    body = {"bundle": bundle.sha256, "image": copies}
    answer = as_alice.post("/read/", body, HTTP_ACCEPT="application/json")
    assert len({read["id"] for read in answer.json()["reads"]}) == 1
    alice.refresh_from_db()
    assert alice.stored_bytes == StoredImage.objects.get().stored_bytes > 0
    assert sum(1 for path in settings.FOLDER.images.rglob("*.npz")) == 1
