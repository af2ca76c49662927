"""Whose results were shown to whom: lists and exports name their reads in one event, and who polls fills no log."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from serve_pictures import disc, png

from secondread.serve.accounts.models import User
from secondread.serve.accounts.tokens import new_token
from secondread.serve.audit.models import AuditEvent
from secondread.serve.audit.record import BEGINNING
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import Read


@pytest.fixture
def three(as_alice: Client, bundle: RegisteredBundle, submit: Any) -> list[Read]:
    return [submit(as_alice, bundle, png(disc(30 + at))) for at in range(3)]


def events(action: str, **which: Any) -> list[AuditEvent]:
    return list(AuditEvent.objects.filter(action=action, **which))


def beginnings(reads: list[Read]) -> set[str]:
    return {str(read.id)[:BEGINNING] for read in reads}


@pytest.mark.parametrize(
    ("address", "place"), [("/reads/", "history"), ("/read/", "lately"), ("/api/reads", "history")]
)
def test_a_list_is_one_event_that_names_its_reads(
    address: str, place: str, three: list[Read], as_alice: Client, alice: User, token: dict[str, str]
) -> None:
    for _ in range(3):  # loaded anew, or polled: nothing new was seen
        assert as_alice.get(address, headers=token).status_code == 200
    (event,) = events("view", subject=place)
    assert event.actor == alice.pk
    assert event.reads is not None
    assert set(event.reads.split()) == beginnings(three)
    assert event.note == ("by token" if "api" in address else "")


def test_what_is_new_in_a_list_is_a_new_event(
    three: list[Read], as_alice: Client, bundle: RegisteredBundle, submit: Any
) -> None:
    as_alice.get("/reads/")
    another = submit(as_alice, bundle, png(disc(50)))
    as_alice.get("/reads/")
    newest = events("view", subject="history")[0]
    assert str(newest.reads).split()[0] == str(another.id)[:BEGINNING]
    as_alice.get(f"/reads/?q={another.image.content_id}")
    assert events("view", subject="history")[0].reads == str(another.id)[:BEGINNING]


def test_the_same_look_later_is_another_event(
    three: list[Read], as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    as_alice.get("/reads/")
    monkeypatch.setattr("secondread.serve.audit.record.SAME_LOOK", timedelta(0))
    as_alice.get("/reads/")
    assert len(events("view", subject="history")) == 2


def test_who_asks_whether_a_read_has_ended_has_seen_nothing(
    three: list[Read], as_alice: Client, token: dict[str, str]
) -> None:
    read = three[0]
    Read.objects.update(state="running")
    for address in (f"/reads/{read.id}/state", "/reads/", "/read/"):
        as_alice.get(address)
    for address in (f"/api/reads/{read.id}", "/api/reads"):
        Client().get(address, headers=token)
    assert not events("view")
    Read.objects.update(state="read")
    for _ in range(3):
        Client().get(f"/api/reads/{read.id}", headers=token)
    assert [event.note for event in events("view", subject=f"read {read.id}")] == ["by token"]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_names_what_left_the_house(
    form: str, three: list[Read], as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secondread.serve.reads.views_history.MOST_TOLD", 2)
    monkeypatch.setattr("secondread.serve.reads.exports.TOGETHER", 2)
    answer: Any = as_alice.get(f"/reads/export.{form}?state={three[0].state}")
    told = events("export", subject="history")
    assert len(told) == 2
    assert {start for event in told for start in str(event.reads).split()} == beginnings(three)
    three[1].delete()  # while the first lines are on their way
    content = b"".join(answer.streaming_content).decode()
    assert [content.count(str(read.id)) for read in (three[0], three[2])] == [1, 1]
    assert as_alice.get(f"/reads/export.{form}?q=nothing").status_code == 200
    assert events("export", subject="history")[0].reads is None


@pytest.mark.parametrize("part", ["pixels", "heatmap"])
def test_pixels_asked_for_without_their_page_are_a_view(part: str, three: list[Read], as_alice: Client) -> None:
    """The page's own event stands for what it loads."""
    first, second = three[:2]
    as_alice.get(f"/reads/{first.id}/{part}")
    as_alice.get(f"/reads/{second.id}/")
    as_alice.get(f"/reads/{second.id}/{part}")
    assert [len(events("view", subject=f"read {read.id}")) for read in (first, second)] == [1, 1]


def test_a_look_is_compared_with_the_last_minutes_alone(three: list[Read], as_alice: Client) -> None:
    """SQLite, which knows no counts, would go through all that somebody ever did."""
    if connection.vendor != "sqlite":
        pytest.skip("others choose by what the tables hold")
    with CaptureQueriesContext(connection) as asked:
        as_alice.get("/reads/")
    (looked,) = (query["sql"] for query in asked.captured_queries if query["sql"].startswith("SELECT 1 AS"))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {looked}")
        assert "audit_of_an_actor (actor=? AND at>?)" in str(cursor.fetchall())


def test_maps_given_to_programs_are_a_view(three: list[Read], token: dict[str, str]) -> None:
    assert Client().get(f"/api/reads/{three[0].id}/heatmap", headers=token).status_code == 200
    assert [event.note for event in events("view", subject=f"read {three[0].id}")] == ["by token"]


def test_an_upload_names_the_reads_that_it_is_answered_with(
    three: list[Read], as_alice: Client, bundle: RegisteredBundle, token: dict[str, str]
) -> None:
    """An image sent again is answered with the result that is there."""
    again = png(disc(30))
    answer = Client().post("/api/reads", again, content_type="image/png", headers=token)
    assert answer.json()["reads"][0]["id"] == str(three[0].id)
    assert events("upload")[0].reads == str(three[0].id)[:BEGINNING]


def test_a_deletion_that_cannot_be_written_down_is_not_done(
    three: list[Read], as_alice: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from secondread.serve.reads.places import image_path

    def no_log(*_: Any) -> None:
        raise OSError("the log cannot be written")

    as_alice.raise_request_exception = False
    monkeypatch.setattr("secondread.serve.reads.removal.record", no_log)
    assert as_alice.post(f"/reads/{three[0].id}/delete").status_code == 500
    assert Read.objects.filter(id=three[0].id).exists()
    assert image_path(three[0].image_id).exists()


def test_operators_find_who_saw_a_read(
    three: list[Read], as_alice: Client, as_bob: Client, bob: User, as_operator: Client
) -> None:
    as_alice.get("/reads/")
    as_alice.get(f"/reads/{three[0].id}/report.pdf")
    Client().get("/api/reads", headers={"Authorization": f"Bearer {new_token(bob, 'his')[1]}"})
    identifier = three[0].id
    for said in (
        f"read {identifier}",
        identifier.hex[:8],
        identifier.hex,
        f"read-{identifier.hex[:8]}",
        str(identifier).upper(),
    ):
        page = as_operator.get("/operate/audit", {"read": said}).content.decode()
        assert page.count("<tr>") == 1 + 3  # the head; list, report, upload
        assert "3 reads: " in page
        assert "bob" not in page
    assert as_operator.get("/operate/audit", {"read": "01"}).content.decode().count("<tr>") > 4
    assert len(events("view", subject="audit log")) == 1


def test_the_history_of_who_just_came_takes_eight_questions(three: list[Read], alice: User) -> None:
    """Its log-in wrote the session, so that the page need not; the look itself is an event."""
    client = Client()
    client.force_login(alice)
    with CaptureQueriesContext(connection) as asked:
        assert client.get("/reads/").status_code == 200
    assert len(asked) <= 8, [query["sql"][:60] for query in asked]
