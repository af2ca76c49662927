"""Exports of many reads: asked for some at a time, each once and in order."""

from __future__ import annotations

import csv
import io
import json
import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.reads import exports
from secondread.serve.reads.history import Search, found
from secondread.serve.reads.models import Read, State, StoredImage


@pytest.fixture
def many(alice: User, bundle: RegisteredBundle) -> list[Read]:
    """Ten reads, some of the same moment."""
    now = timezone.now()
    images = StoredImage.objects.bulk_create(StoredImage(owner=alice, content_id=f"{at:064d}") for at in range(10))
    return Read.objects.bulk_create(
        Read(owner=alice, image=image, bundle=bundle, created=now - timedelta(seconds=at // 4), state=State.READ)
        for at, image in enumerate(images)
    )


def all_of(person: User) -> list[uuid.UUID]:
    return list(found(person, Search()).values_list("id", flat=True))


def test_an_export_never_asks_for_all_at_once(alice: User, many: list[Read], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "TOGETHER", 3)
    with CaptureQueriesContext(connection) as asked:
        table = "".join(exports.csv_lines(all_of(alice)))
    assert [query["sql"].count(" IN (") for query in asked][1:] == [1] * 4
    told = [row["id"] for row in csv.DictReader(io.StringIO(table))]
    assert told == [str(read.id) for read in found(alice, Search())]
    assert set(told) == {str(read.id) for read in many}
    assert len(told) == len(many)


def test_what_is_deleted_meanwhile_is_left_out_and_the_rest_comes(
    alice: User, many: list[Read], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "TOGETHER", 3)
    order = [str(read.id) for read in found(alice, Search())]
    lines = exports.json_lines(all_of(alice))
    told = [json.loads(next(lines))["id"] for _ in range(3)]
    Read.objects.filter(id__in=[*told, order[4]]).delete()
    told += [json.loads(line)["id"] for line in lines]
    assert told == [*order[:4], *order[5:]]
