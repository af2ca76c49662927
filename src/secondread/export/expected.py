"""What a bundle does with images that it was never fitted on, in counts: to tell later when it does otherwise."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from secondread.export.assemble import Engine
from secondread.export.material import Material
from secondread.export.scored import LEAKY
from secondread.models.bundle.card import BundleCard
from secondread.models.bundle.gate import GateStatistics, looks
from secondread.models.bundle.judge import judge

TEST_IMAGES = 768


def expected_of(card: BundleCard, gate: GateStatistics | None, engine: Engine, material: Material) -> dict[str, Any]:
    """The card's `expected`, from as many test images; empty without such, and under a protocol that leaks."""
    images = material.images(material.test_ids[:TEST_IMAGES])
    if len(images) == 0 or any(LEAKY in banner for banner in card.banners):
        return {}
    outputs = replace(engine.run(images), looks=looks(images))
    readings = judge(card, gate, outputs)
    decided: Counter[str] = Counter()
    for reading in readings:
        if reading.status != "refused":
            decided.update([reading.decision] if isinstance(reading.decision, str) else reading.decision)
    statuses = Counter(reading.status for reading in readings)
    return {
        "images": len(readings), "refused": statuses["refused"], "uncertain": statuses["uncertain"],
        "decided": {name: decided[name] for name in card.classes},
    }  # fmt: skip
