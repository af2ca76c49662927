"""Statements that are compiled once do what the queries they were written as do."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from secondread.serve.accounts.models import User
from secondread.serve.audit.models import AuditEvent
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads.models import Feedback, Read, State, StoredImage
from secondread.serve.reads.own import reads_now
from secondread.serve.statements import Select, Slot, Update, insert, loaded

pytestmark = pytest.mark.django_db
NOW = timezone.now().replace(microsecond=123456)


@pytest.fixture
def reads(alice: User, bundle: RegisteredBundle) -> list[Read]:
    made = []
    for at in range(4):
        image = StoredImage.objects.create(owner=alice, content_id=f"{at:064d}", facts={"format": "PNG", "at": at})
        made.append(
            Read.objects.create(
                owner=alice, image=image, bundle=bundle, created=NOW + timedelta(seconds=at), attempt=at
            )
        )
    return made


def test_a_select_finds_what_its_query_finds_whatever_its_values(reads: list[Read], alice: User) -> None:
    columns = ("id", "image_id", "bundle_id", "created", "state", "result", "image__facts", "owner__date_joined")
    owner, most = Slot("owner", Read, "owner"), Slot("most", Read, "attempt")
    which = [Slot(f"id{at}", Read, "id") for at in range(2)]
    build = Read.objects.filter(owner=owner, attempt__lte=most, id__in=which).order_by("-created").values_list(*columns)
    statement = Select(lambda: build)
    for most_of, pair in ((3, (0, 1)), (0, (0, 1)), (2, (3, 2)), (-1, (0, 0))):
        identifiers = [reads[at].id for at in pair]
        found = statement.rows(owner=alice.pk, most=most_of, id0=identifiers[0], id1=identifiers[1])
        plain = Read.objects.filter(owner=alice, attempt__lte=most_of, id__in=identifiers).order_by("-created")
        assert found == list(plain.values_list(*columns))
        assert statement.first(owner=alice.pk, most=most_of, id0=identifiers[0], id1=identifiers[1]) == (
            found[0] if found else None
        )


def test_an_update_changes_what_its_query_changes(reads: list[Read]) -> None:
    statement = Update(
        lambda: Read.objects.filter(id=Slot("id", Read, "id"), attempt=Slot("attempt", Read, "attempt")),
        attempt=F("attempt") + Slot("more", Read, "attempt"), state=Slot("state", Read, "state"),
        result=Slot("result", Read, "result"), heat=Slot("heat", Read, "heat"),
        finished=Slot("at", Read, "finished"), lease_until=None,
    )  # fmt: skip
    given: dict[str, Any] = {
        "more": 3,
        "state": State.READ,
        "result": {"a": [0.1, None, "ü"]},
        "heat": b"\x00\xff'",
        "at": NOW,
    }
    assert statement(id=reads[2].id, attempt=1, **given) == 0
    assert statement(id=reads[2].id, attempt=2, **given) == 1
    changed = Read.objects.get(id=reads[2].id)
    assert (changed.attempt, changed.state, changed.result, bytes(changed.heat or b""), changed.finished) == (
        5, "read", {"a": [0.1, None, "ü"]}, b"\x00\xff'", NOW,
    )  # fmt: skip
    assert statement(id=reads[1].id, attempt=1, **given | {"result": None, "heat": None}) == 1
    empty = Read.objects.get(id=reads[1].id)
    assert (empty.result, empty.heat) == (None, None)
    assert Read.objects.filter(result__isnull=True, id=reads[1].id).exists()
    assert Read.objects.get(id=reads[0].id).state == "queued"


def test_an_inserted_object_is_the_one_that_is_found(alice: User) -> None:
    image = StoredImage(owner=alice, content_id="c" * 64, facts={"windows": {"full": [0.0, 255.0]}}, name="ü%s'")
    insert(image)
    found = StoredImage.objects.get(id=image.id)
    assert {field.attname: getattr(found, field.attname) for field in StoredImage._meta.concrete_fields} == {
        field.attname: getattr(image, field.attname) for field in StoredImage._meta.concrete_fields
    }
    image.name = "other"
    image.save()  # it is known to be there: changed, not entered again
    assert StoredImage.objects.get(id=image.id).name == "other"
    with pytest.raises(IntegrityError):
        insert(StoredImage(owner=alice, content_id="c" * 64))


def test_the_database_gives_the_number_of_an_event() -> None:
    for at in range(2):
        insert(AuditEvent(action=f"try {at}"))
    first, second = AuditEvent.objects.order_by("id").values_list("id", flat=True)
    assert second > first


def test_a_value_that_is_missing_or_not_asked_for_is_a_fault(reads: list[Read]) -> None:
    statement = Select(lambda: Read.objects.filter(id=Slot("id", Read, "id")).values_list("state"))
    for given in ({}, {"id": reads[0].id, "state": "read"}, {"identifier": reads[0].id}):
        with pytest.raises(TypeError, match="slots"):
            statement.rows(**given)


def test_a_slot_that_django_would_turn_into_text_is_a_fault(reads: list[Read], bundle: RegisteredBundle) -> None:
    """`in` on a foreign key prepares its values at once; a statement that lost its slot must not run."""
    lost = [Slot("bundle", Read, "bundle")]
    statement = Select(lambda: Read.objects.filter(bundle__in=lost).values_list("id"))
    with pytest.raises(TypeError, match="slots"):
        statement.rows(bundle=bundle.sha256)


def test_fields_that_were_not_named_are_read_when_asked_for(reads: list[Read]) -> None:
    read = loaded(Read, ("state", "id"), (State.QUEUED, reads[3].id))  # in any order
    with CaptureQueriesContext(connection) as asked:
        assert (read.id, read.state) == (reads[3].id, "queued")
        assert not asked.captured_queries
        assert read.attempt == 3
        assert len(asked.captured_queries) == 1


def test_reads_as_they_are_now_need_one_query_and_are_the_owners(reads: list[Read], alice: User, bob: User) -> None:
    Feedback.objects.create(read=reads[1], agrees=False, truth="NORMAL")
    wanted = [read.id for read in reads[:3]]
    with CaptureQueriesContext(connection) as asked:
        found = reads_now(alice, [*wanted, uuid.uuid4()])
        opinions = [getattr(found[identifier], "feedback", None) for identifier in wanted]
    assert sorted(found) == sorted(wanted)
    assert [(one.agrees, one.truth) if one else None for one in opinions] == [None, (False, "NORMAL"), None]
    assert len(asked.captured_queries) == 1
    assert reads_now(bob, wanted) == {}
    assert reads_now(alice, []) == {}
