"""What a bundle promised of images like those it was proven on, and whether what it meets keeps to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from secondread.metrics.independent import at_confidence
from secondread.metrics.shares import share_at_any_time, wilson

Card = Mapping[str, Any]
"""As card.json and a site's database hold it, perhaps from before there was `expected`."""
CONFIDENCE = 0.95
"""Of what was promised."""
OF_A_DAY = 0.9999
"""Of all that is counted from one day on, at whatever time it is looked at; so over a year of days at least 96 %."""


@dataclass(frozen=True)
class Share:
    """A share of images, and the ends of its interval."""

    value: float
    low: float
    high: float
    some: int | None = None
    images: int | None = None
    """So many of so many, where they were counted here."""

    @classmethod
    def counted(cls, some: int, images: int) -> Share:
        """Looked at once, when all were counted: a 95 % interval."""
        return cls(some / images if images else math.nan, *wilson(some, images, CONFIDENCE), some, images)

    @classmethod
    def so_far(cls, some: int, images: int) -> Share:
        """Looked at again and again while they come, and counted from another day each day: see `OF_A_DAY`."""
        value = some / images if images else math.nan
        return cls(value, *share_at_any_time(some, images, OF_A_DAY), some, images)

    def above(self, other: Share) -> bool:
        """Whether all of the interval lies above all of the other's."""
        return self.low > other.high


def promised_refusals(card: Card) -> Share | None:
    """Of images of its own kind: counted on test; of bundles that did not count, what the gate was set to on
    validation. None without a gate."""
    gate, expected = card.get("gate"), card.get("expected")
    if gate is None:
        return None
    if expected:
        return Share.counted(expected["refused"], expected["images"])
    return Share.counted(round((1 - gate["quantile"]) * gate["checked_on"]), gate["checked_on"])


def surprise(card: Card, refused: int, images: int) -> str:
    """What a reader of these images must be told; empty when no more were refused than promised."""
    promised, here = promised_refusals(card), Share.counted(refused, images)
    if promised is None or not here.above(promised):
        return ""
    return (
        f"{here.value:.0%} of {images} images were refused, where at most {promised.high:.1%} was to be expected of "
        "images like those it was proven on: the others may be read wrongly too; see secondread prove"
    )


def promised_doubts(card: Card) -> Share | None:
    """Uncertain ones among the test images that were not refused; None where nobody counted."""
    read = _read(card)
    return Share.counted(card["expected"]["uncertain"], read) if read else None


def promised_decisions(card: Card) -> dict[str, Share]:
    """How often each class was decided among them; empty where nobody counted."""
    read = _read(card)
    return {name: Share.counted(count, read) for name, count in card["expected"]["decided"].items()} if read else {}


def _read(card: Card) -> int:
    expected = card.get("expected")
    return expected["images"] - expected["refused"] if expected else 0


def promised_sensitivity(card: Card, name: str) -> Share | None:
    """Of the test images of a class, as the card's figures have it."""
    for row in card["metrics"]:
        if (row["split"], row["class"], row["metric"]) == ("test", name, "recall") and row["low"] is not None:
            told = (row["value"], row["low"], row["high"])
            return Share(*at_confidence(told, row.get("confidence", CONFIDENCE), CONFIDENCE))
    return None
