"""What a bundle promised, counted on its test images or set on validation, and when readers are told it is not kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.tiny_bundle import discs, opened, refused, tiny_bundle
from secondread.cli import app
from secondread.metrics.shares import wilson
from secondread.models.bundle.promise import promised_decisions, promised_doubts, promised_refusals, surprise

EXPECTED = {"images": 200, "refused": 4, "uncertain": 20, "decided": {"normal": 100, "pneumonia": 96}}
GATE = {"quantile": 0.98, "checked_on": 100}


def test_shares_of_what_was_counted_have_intervals() -> None:
    card = {"gate": GATE, "expected": EXPECTED}
    refusals, doubts, decisions = promised_refusals(card), promised_doubts(card), promised_decisions(card)
    assert refusals is not None
    assert (refusals.some, refusals.images, (refusals.low, refusals.high)) == (4, 200, wilson(4, 200))
    assert doubts is not None
    assert (doubts.some, doubts.images) == (20, 196)
    assert {name: (share.some, share.images) for name, share in decisions.items()} == {
        "normal": (100, 196), "pneumonia": (96, 196)
    }  # fmt: skip


def test_without_counts_the_gate_promises_and_without_a_gate_nothing() -> None:
    refusals = promised_refusals({"gate": GATE})
    assert refusals is not None
    assert (refusals.some, refusals.images) == (2, 100)
    assert promised_doubts({"gate": GATE}) is None
    assert promised_decisions({"gate": GATE}) == {}
    assert promised_refusals({"gate": None, "expected": EXPECTED}) is None


@pytest.mark.parametrize(
    ("some", "images", "is_told"), [(2, 100, False), (9, 100, False), (30, 100, True), (3, 4, True)]
)
def test_only_more_refusals_than_chance_gives_are_told(some: int, images: int, is_told: bool) -> None:
    told = surprise({"gate": GATE}, some, images)
    assert bool(told) == is_told
    assert not told or f"{some / images:.0%} of {images} images were refused" in told
    assert surprise({"gate": None}, some, images) == ""


def test_nothing_read_is_no_surprise() -> None:
    assert surprise({"gate": GATE}, 0, 0) == ""


@pytest.mark.parametrize("kind", ["another", "its own"])
def test_the_command_tells_who_reads_images_of_another_kind(kind: str, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    (tmp_path / "images").mkdir()
    noise = np.random.default_rng(0).choice(np.array([0, 255], np.uint8), (12, 64, 64))
    for at, image in enumerate(noise if kind == "another" else discs(1, 64, 12, 0)[:, 0]):
        Image.fromarray(image).save(tmp_path / "images" / f"{at}.png")
    said = CliRunner().invoke(app, ["read", str(bundle), str(tmp_path / "images")])
    assert said.exit_code == 0
    told = "100% of 12 images were refused, where at most 7.0% was to be expected" in said.output
    assert told == (kind == "another")


def test_counts_are_sealed_with_the_card_and_old_digests_stay(tmp_path: Path) -> None:
    with_counts, without = opened(tmp_path / "a", expected=EXPECTED), opened(tmp_path / "b")
    assert with_counts.card.expected == EXPECTED
    assert with_counts.sha256 != without.sha256
    assert "expected" not in without.card.to_json()


@pytest.mark.parametrize("wrong", [
    {"images": 0}, {"images": 3.5}, {"refused": 201}, {"uncertain": 197}, {"decided": {"zebra": 1}},
    {"decided": {"normal": -1}}, {"decided": {"normal": True}}, {"decided": [1]}, {"more": 1},
])  # fmt: skip
def test_counts_that_do_not_add_up_are_refused(wrong: dict[str, Any], tmp_path: Path) -> None:
    assert "does not add up" in refused(tiny_bundle(tmp_path / "x", expected=EXPECTED | wrong))
