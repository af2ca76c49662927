"""What a bundle meets at a site beside what it was proven on: the page and the command for operators."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from secondread.serve.accounts.models import User
from secondread.serve.bundles.models import RegisteredBundle
from secondread.serve.operate.told import told
from secondread.serve.operate.watching import PIECES, watch
from secondread.serve.reads.models import Feedback, Read, State, StoredImage
from secondread.serve.reads.queue import MORE

NOW = datetime(2026, 3, 10, 15, tzinfo=UTC)
PROMISED = {"images": 300, "refused": 6, "uncertain": 15, "decided": {"negative": 200, "positive": 94}}


@pytest.fixture
def promising(bundle: RegisteredBundle) -> RegisteredBundle:
    """A binary bundle that refused 2 % of 300 test images, and found 90 % of the positive ones."""
    negative, positive = bundle.card["classes"]
    decided = {negative: 200, positive: 94}
    recall = {"split": "test", "class": positive, "metric": "recall", "value": 0.9, "low": 0.82, "high": 0.95, "n": 90}
    bundle.card = bundle.card | {"expected": PROMISED | {"decided": decided}, "metrics": [recall | {"method": ""}]}
    bundle.save()
    return bundle


@pytest.fixture
def given(alice: User) -> Callable[..., list[Read]]:
    """So many reads of each state, one a minute before `until`."""

    def fill(bundle: RegisteredBundle, until: datetime = NOW, decided: str = "", **states: int) -> list[Read]:
        outcomes = [State[name.upper()] for name, count in states.items() for _ in range(count)]
        images = [StoredImage(owner=alice, content_id=f"{until:%m%d%H%M}-{decided}-{k}") for k in range(len(outcomes))]
        StoredImage.objects.bulk_create(images)
        reads = [
            Read(owner=alice, image=image, bundle=bundle, state=state, decision=decided or bundle.card["classes"][0],
                 created=until - timedelta(minutes=at))
            for at, (image, state) in enumerate(zip(images, outcomes, strict=True))
        ]  # fmt: skip
        return list(Read.objects.bulk_create(reads))

    return fill


def test_images_like_those_of_the_test_raise_no_alarm(promising: RegisteredBundle, given: Any) -> None:
    given(promising, read=450, uncertain=30, refused=14)
    seen = watch(promising, 30, NOW)
    assert (seen.images, seen.alarms) == (494, [])
    assert [(line.here.some, line.here.images) for line in seen.kept] == [(14, 494), (30, 480)]
    assert told(seen).headline == "Nothing unlike what was promised in 494 images."


def test_images_of_another_kind_raise_one_after_some_dozens(promising: RegisteredBundle, given: Any) -> None:
    given(promising, read=20, refused=20)
    seen = watch(promising, 30, NOW)
    assert [line.words for line in seen.alarms] == ["more than promised"]
    assert told(seen).headline.startswith("Not as promised: refused as unlike its kind 50.0\u00a0% (")
    assert "secondread prove" in told(seen).advice


def test_a_few_images_are_too_early_to_say(promising: RegisteredBundle, given: Any) -> None:
    given(promising, read=9, refused=1)
    assert told(watch(promising, 30, NOW)).headline == "Too early to say: 10 images."


def test_only_its_own_days_count_and_they_begin_at_midnight(promising: RegisteredBundle, given: Any) -> None:
    given(promising, NOW - timedelta(days=40), refused=300)
    given(promising, datetime(2026, 2, 8, 0, 0, 30, tzinfo=UTC), read=1)
    given(promising, NOW, queued=5, failed=3, read=120)
    seen = watch(promising, 30, NOW)
    assert (seen.images, seen.alarms) == (121, [])
    assert seen.pieces[0].begins == datetime(2026, 2, 8, tzinfo=UTC)
    assert [piece.refused.images for piece in seen.pieces] == [1, *[0] * (PIECES - 2), 120]


def test_decided_classes_are_shown_and_never_an_alarm(promising: RegisteredBundle, given: Any) -> None:
    given(promising, decided=promising.card["classes"][1], read=150)
    seen = watch(promising, 30, NOW)
    assert [(line.here.some, line.words, line.alarm) for line in seen.decided] == [
        (0, "less often", False), (150, "more often", False)
    ]  # fmt: skip
    assert not seen.alarms


def test_readers_who_find_what_it_missed_raise_an_alarm(promising: RegisteredBundle, given: Any) -> None:
    negative, positive = promising.card["classes"]
    missed = given(promising, decided=negative, read=40)
    found = given(promising, NOW - timedelta(hours=3), decided=positive, read=20, refused=1)
    Feedback.objects.bulk_create(
        [*(Feedback(read=read, agrees=False, truth=positive) for read in missed),
         *(Feedback(read=read, agrees=True) for read in found)]
    )  # fmt: skip
    seen = watch(promising, 30, NOW)
    line = next(line for line in seen.kept if line.name.startswith("found"))
    assert (line.here.some, line.here.images, line.words, line.alarm) == (20, 60, "fewer than promised", True)
    assert seen.agreed is not None
    assert (seen.agreed.some, seen.agreed.images) == (20, 60)


def test_a_bundle_from_before_there_were_promises_has_that_of_its_gate(bundle: RegisteredBundle, given: Any) -> None:
    assert "expected" not in bundle.card
    given(bundle, read=60, refused=60)
    refused, uncertain = watch(bundle, 30, NOW).kept
    checked = bundle.card["gate"]["checked_on"]
    assert refused.promised is not None
    assert refused.promised.images == checked
    assert refused.promised.some == round((1 - bundle.card["gate"]["quantile"]) * checked)
    assert (uncertain.promised, uncertain.words) == (None, "this bundle promises nothing here")


def test_lists_of_labels_that_were_cut_are_not_counted(bundles: list[RegisteredBundle], given: Any) -> None:
    labels = bundles[1].card["classes"]
    given(bundles[1], decided=" | ".join(labels[:2]), read=3)
    assert [line.here.some for line in watch(bundles[1], 30, NOW).decided] == [3, 3, *[0] * (len(labels) - 2)]
    given(bundles[1], NOW - timedelta(hours=1), decided=labels[0] + MORE, read=1)
    assert watch(bundles[1], 30, NOW).decided == []


def test_where_all_was_refused_there_is_no_share_of_the_others(
    promising: RegisteredBundle, given: Any, as_operator: Client
) -> None:
    given(promising, datetime.now(UTC), refused=40)
    seen = told(watch(promising, 30)).to_json()["kept"][1]["here"]
    assert (seen["value"], seen["low"], seen["high"], seen["images"]) == (None, 0, 1, 0)
    page = as_operator.get("/operate/watch").content.decode()
    assert "nan" not in page


def test_the_command_tells_a_machine(promising: RegisteredBundle, given: Any) -> None:
    now = datetime.now(UTC)
    given(promising, now, read=150)
    out = io.StringIO()
    call_command("watch", "--json", stdout=out)
    assert json.loads(out.getvalue())["alarm"] is False
    given(promising, now - timedelta(hours=5), refused=150)
    with pytest.raises(SystemExit) as ended:
        call_command("watch", stdout=out)
    assert ended.value.code == 3
    assert f"{promising.name}: Not as promised" in out.getvalue()


@pytest.mark.parametrize("days", ["30", "7", "-1", "x", "", "9" * 400])
def test_the_page_is_for_operators(
    days: str, promising: RegisteredBundle, given: Any, as_operator: Client, as_alice: Client
) -> None:
    given(promising, datetime.now(UTC), read=50, refused=50)
    page = as_operator.get("/operate/watch", {"days": days})
    assert page.status_code == 200
    assert "Not as promised" in page.content.decode()
    assert 'class="timeline"' in page.content.decode()
    assert as_alice.get("/operate/watch").status_code == 404


def test_a_read_image_is_counted(promising: RegisteredBundle, submit: Any, as_alice: Client) -> None:
    read = submit(as_alice, promising)
    seen = watch(promising, 7)
    assert seen.images == 1
    assert seen.kept[0].here.some == (read.state == State.REFUSED)
    assert dataclasses.asdict(seen.kept[0].here)["images"] == 1
