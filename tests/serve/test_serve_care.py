"""Health, the audit log, sweeping, bundles that are damaged, databases that are away, words for people."""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.conf import settings as site
from django.contrib.sessions.models import Session
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone
from serve_pictures import disc, png

from secondread.core.errors import WrongRequest
from secondread.serve.accounts.lockout import WINDOW, key_of, spend_check
from secondread.serve.accounts.models import LoginAttempts, User
from secondread.serve.audit.models import AuditEvent
from secondread.serve.audit.record import record
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.bundles.register import register
from secondread.serve.bundles.shelf import Shelf
from secondread.serve.health import views as health
from secondread.serve.limits import Limits
from secondread.serve.reads.door import Vanished, read_again
from secondread.serve.reads.models import Read, State, StoredImage, Worker
from secondread.serve.reads.places import image_path
from secondread.serve.reads.queue import give_up, waiting
from secondread.serve.reads.sweeping import TURNS, sweep
from secondread.serve.reports.pdf import PdfPage, broken


@pytest.fixture(autouse=True)
def _fresh_health() -> Iterator[None]:
    health._known = (float("-inf"), [])
    yield
    health._known = (float("-inf"), [])


def seen(bundles: dict[str, str], ago: float = 0.0) -> None:
    Worker.objects.update_or_create(
        name="one", defaults={"seen": timezone.now() - timedelta(seconds=ago), "bundles": bundles}
    )


def readiness(client: Client) -> tuple[int, list[str]]:
    health._known = (float("-inf"), [])
    answer = client.get("/health/ready")
    return answer.status_code, answer.json()["faults"]


def test_ready_says_why_not(client: Client, bundle: RegisteredBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    assert readiness(client) == (503, ["no worker reads"])
    seen({bundle.sha256: ""})
    assert readiness(client) == (200, [])
    seen({bundle.sha256: "model.onnx is not the file"})
    status, faults = readiness(client)
    assert status == 503
    assert "is not the file" in faults[0]
    seen({bundle.sha256: ""}, ago=60)
    assert readiness(client)[0] == 503
    seen({bundle.sha256: ""})
    monkeypatch.setattr(health, "free_bytes", lambda: 0)
    assert readiness(client) == (503, ["the disk is full"])


def test_live_asks_nobody(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr(connection, "ensure_connection", away)
    assert client.get("/health/live").json() == {"live": True}


def test_a_database_that_is_away_is_a_pause(
    as_alice: Client, token: dict[str, str], bundle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_alice.raise_request_exception = False
    api = Client(headers=token, raise_request_exception=False)

    def away(*_: Any, **__: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as broken_connection:
        broken_connection.setattr("secondread.serve.pages.failures.connection.close", lambda: None)
        broken_connection.setattr("django.db.backends.utils.CursorWrapper.execute", away)
        page = as_alice.get("/reads/")
        told = api.get("/api/reads")
        ready = api.get("/health/ready")
    assert (page.status_code, page["Retry-After"]) == (503, "5")
    assert "Nothing is lost" in page.content.decode()
    assert (told.status_code, told.json()["code"]) == (503, "503")
    assert ready.json()["faults"] == ["the database does not answer"]
    assert as_alice.get("/reads/").status_code == 200


def test_errors_of_ours_show_no_trace(client: Client, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    client.raise_request_exception = False
    monkeypatch.setattr("secondread.serve.pages.views.render", lambda *_: 1 / 0)
    answer = client.get("/about/")
    assert answer.status_code == 500
    assert "ZeroDivision" not in answer.content.decode()


def test_audit_events_can_neither_be_changed_nor_removed(db: None) -> None:
    record(None, "login", actor=1)
    event = AuditEvent.objects.get()
    for deed in (event.save, event.delete, AuditEvent.objects.all().delete):
        with pytest.raises(TypeError):
            deed()
    with pytest.raises(TypeError):
        AuditEvent.objects.update(action="x")
    replaced = "INTO audit_auditevent (id, at, action, subject, address, note) SELECT id, at, 'x', '', '', '' FROM"
    more = {
        "sqlite": f"INSERT OR REPLACE {replaced} audit_auditevent",
        "mysql": f"REPLACE {replaced} audit_auditevent",
        "postgresql": "TRUNCATE audit_auditevent",
    }
    plain = ("UPDATE audit_auditevent SET action = 'x'", "DELETE FROM audit_auditevent")
    for statement in (*plain, more[connection.vendor]):
        with pytest.raises(DatabaseError, match="written once"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    assert AuditEvent.objects.get().action == "login"


def test_sweeping_removes_what_belongs_to_nothing(as_alice: Client, bundle: Any, submit: Any) -> None:
    read = submit(as_alice, bundle)
    name = uuid.uuid4()
    lost = site.FOLDER.images / name.hex[:2] / f"{name.hex}.npz"
    lost.parent.mkdir(exist_ok=True)
    lost.write_bytes(b"x")
    (site.FOLDER.incoming / "half").write_bytes(b"x")
    Worker.objects.create(name="gone", seen=timezone.now() - timedelta(days=3))
    assert sweep() == 0  # too young to be abandoned
    old = time.time() - 3600
    for path in (lost, site.FOLDER.incoming / "half", *site.FOLDER.images.rglob("*.npz")):
        os.utime(path, (old, old))
    assert sweep() == 2
    assert as_alice.get(f"/reads/{read.id}/pixels").status_code == 200
    assert not Worker.objects.exists()


def test_sweeping_by_turns_looks_everywhere_once(db: None, alice: User) -> None:
    kept = StoredImage.objects.create(owner=alice, content_id="0" * 64)
    names = [uuid.UUID(int=number << 120 | 1) for number in range(256)]
    for identifier in (*names, kept.id):
        image_path(identifier).parent.mkdir(exist_ok=True)
        image_path(identifier).touch()
    (site.FOLDER.incoming / "lost+found").mkdir()  # of whoever made the folder a disk of its own
    removed = [sweep(age=-1.0, turn=turn) for turn in range(5, 5 + TURNS)]
    (site.FOLDER.incoming / "lost+found").rmdir()
    assert removed == [256 // TURNS] * TURNS
    assert [path.stem for path in site.FOLDER.images.rglob("*.npz")] == [kept.id.hex]


def test_what_has_run_out_is_forgotten(as_alice: Client, alice: User) -> None:
    """Sessions of a hospital's browsers and names that somebody tried would gather for ever."""
    logged_out = Client()
    logged_out.force_login(alice)
    Session.objects.filter(session_key=logged_out.session.session_key).update(expire_date=timezone.now())
    assert spend_check("tried once")
    assert spend_check("alice")
    LoginAttempts.objects.filter(key=key_of("tried once")).update(since=timezone.now() - 2 * WINDOW)
    sweep(turn=0)
    assert [session.session_key for session in Session.objects.all()] == [as_alice.session.session_key]
    assert [count.key for count in LoginAttempts.objects.all()] == [key_of("alice")]


@pytest.fixture
def copied(tmp_path: Path, bundle_path: Path) -> Path:
    return Path(shutil.copytree(bundle_path, tmp_path / "bundle"))


def test_damaged_and_exchanged_bundles_are_never_read_with(
    db: None, copied: Path, other_bundle_path: Path, client: Client
) -> None:
    bundle = register([copied])[0]
    shelf = Shelf(1)
    assert shelf.state() == {bundle.sha256: ""}
    drawn = np.random.default_rng(0)
    whole = {path: path.read_bytes() for path in copied.iterdir()}
    for _ in range(25):
        path = sorted(whole)[drawn.integers(len(whole))]
        content = bytearray(whole[path])
        at = int(drawn.integers(len(content)))
        if drawn.random() < 0.3:
            del content[at:]
        else:
            content[at] ^= 1 << int(drawn.integers(8))
        path.unlink()
        path.write_bytes(content)
        assert shelf.state()[bundle.sha256], path
        assert shelf.ready() == []
        path.write_bytes(whole[path])
    shelf.state()
    assert shelf.ready() == [bundle.sha256]
    shutil.rmtree(copied)
    shutil.copytree(other_bundle_path, copied)
    assert shelf.state()[bundle.sha256] == "another bundle lies at its place"
    shutil.rmtree(copied)
    assert "no bundle at" in shelf.state()[bundle.sha256]
    seen(shelf.state())
    status, told = readiness(client)
    assert status == 503
    assert "no bundle at its place" in told[0]  # which is nobody's business
    assert str(copied.parent) not in told[0]


def test_reads_that_wait_for_a_bundle_no_longer_offered_end(
    as_alice: Client, copied: Path, other_bundle_path: Path
) -> None:
    bundle = register([copied])[0]
    read = queued_read(as_alice, bundle)
    register([other_bundle_path])
    shelf = Shelf(1)
    assert bundle.sha256 not in shelf.state()
    assert bundle.sha256 in shelf.ready()  # its files are there: what was taken in is read
    shutil.rmtree(copied)
    shelf.state()
    assert give_up(shelf.withdrawn) == 1
    assert "no longer on this site" in as_alice.get(f"/reads/{read}/").content.decode()
    assert waiting() == 0
    shelf.state()
    assert shelf.withdrawn == []


def test_reading_again_needs_an_image_and_no_room(as_alice: Client, alice: User, bundle: Any, settings: Any) -> None:
    settings.LIMITS = Limits(quota_bytes=1)
    User.objects.filter(pk=alice.pk).update(stored_bytes=2)  # the operator made the share smaller
    image = StoredImage.objects.create(owner=alice, content_id="0" * 64)
    assert read_again(alice, image, bundle).state == State.QUEUED
    Read.objects.all().delete()
    StoredImage.objects.all().delete()
    with pytest.raises(Vanished):
        read_again(alice, image, bundle)


def queued_read(client: Client, bundle: RegisteredBundle) -> str:
    image = SimpleUploadedFile("x.png", png(disc()))
    form = {"bundle": bundle.sha256, "image": image}
    return str(client.post("/read/", form, HTTP_ACCEPT="application/json").json()["reads"][0]["id"])


def test_registering_is_all_or_nothing(db: None, copied: Path, bundle_path: Path) -> None:
    register([bundle_path])
    (copied / "model.onnx").write_bytes(b"x")
    with pytest.raises(WrongRequest):
        register([copied])
    assert RegisteredBundle.objects.get().active


def test_lines_break_and_nothing_is_lost() -> None:
    words = "one two three four five six seven"
    assert " ".join(broken(words, 9)) == words
    assert max(map(len, broken(words, 9))) <= 9
    page = PdfPage()
    page.text(1, 1, "brackets ( ) and \\ and \n lines")
    page.picture(0, 0, 10, 10, np.zeros((3, 3, 3), np.uint8))
    content = page.to_bytes("title")
    assert content.startswith(b"%PDF-1.4")
    start = int(content.rsplit(b"startxref\n", 1)[1].split()[0])
    assert content[start:].startswith(b"xref\n0 9\n")
    first = int(content[start:].splitlines()[3].split()[0])
    assert content[first:].startswith(b"1 0 obj")


def test_health_is_json_without_secrets(client: Client, bundle: Any) -> None:
    seen({bundle.sha256: ""})
    assert set(json.loads(client.get("/health/ready").content)) == {"ready", "faults"}
