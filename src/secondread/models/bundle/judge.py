"""From the graph's outputs to a reading: refused, uncertain or read, and what was decided."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.models.bundle.card import BundleCard
from secondread.models.bundle.gate import GateStatistics, together

SMALLEST = 1e-6  # as in metrics.thresholds
Status = Literal["read", "uncertain", "refused"]


@dataclass(frozen=True)
class Outputs:
    """What the graph gives for N images, K classes, F features: logits and probabilities [N,K], features [N,F],
    heatmaps [N,K,h,w] (ReLU Grad-CAM, not scaled)."""

    logits: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    heatmaps: NDArray[np.float32] | None = None
    looks: NDArray[np.float32] | None = None
    """How the images look [N,D] (`gate.looks`), for the gate."""


@dataclass(frozen=True)
class Reading:
    """A bundle's reading of one image."""

    status: Status
    reason: str
    """Why it was refused or is uncertain; empty when read."""
    decision: str | list[str]
    """The class decided; of a multi-label task the list of those found, perhaps empty."""
    probabilities: dict[str, float]
    gate_distance: float | None
    """Distance from the training images over the largest that is accepted: above 1 is refused. None without a gate."""
    heat: dict[str, NDArray[np.float32]] | None = None
    """Raw ReLU Grad-CAM map [h,w] of each class; all zero: no positive evidence."""
    content_id: str = ""
    """SHA-256 of the image's bytes."""

    def of(self, content_id: str) -> Reading:
        return replace(self, content_id=content_id)


def judge(card: BundleCard, gate: GateStatistics | None, outputs: Outputs) -> list[Reading]:
    """One reading per image."""
    count = len(outputs.probabilities)
    distances, of_looks = np.full(count, np.nan, np.float32), np.zeros(count, bool)
    if gate is not None and card.gate is not None:
        if outputs.looks is None:
            raise ValueError("outputs without looks cannot pass a gate: take them from Bundle.run")
        apart = gate.distances(outputs.features, outputs.looks)
        distances = together(*apart, card.gate.kind) / np.float32(card.gate.threshold)
        of_looks = apart[1] > apart[0]
    return [_reading(card, outputs, at, float(distances[at]), bool(of_looks[at])) for at in range(count)]


def _reading(card: BundleCard, outputs: Outputs, at: int, distance: float, by_looks: bool) -> Reading:
    chances = outputs.probabilities[at]
    if not (np.isfinite(chances).all() and np.isfinite(outputs.features[at]).all()):
        return Reading("refused", "the model gives no finite answer for this image", "", {}, None)
    probabilities = {name: float(p) for name, p in zip(card.classes, chances, strict=True)}
    heat = None
    if outputs.heatmaps is not None:
        heat = dict(zip(card.classes, outputs.heatmaps[at], strict=True))
    decision = decide(card, probabilities)
    if distance > 1.0:
        mostly = "brightness and contrast" if by_looks else "features"
        reason = (
            f"not like the images the model was trained on: {distance:.2f} times as far from them as accepted, "
            f"most of all by its {mostly}"
        )
        return Reading("refused", reason, decision, probabilities, distance, heat)
    doubt = in_doubt(card, probabilities, decision)
    status: Status = "uncertain" if doubt else "read"
    known = None if np.isnan(distance) else distance
    return Reading(status, doubt, decision, probabilities, known, heat)


def decide(card: BundleCard, probabilities: dict[str, float]) -> str | list[str]:
    """The decision at the card's thresholds, as `metrics.calibration.OperatingPoint.decide` makes it: a class, or for
    multi-label the list of labels found."""
    if card.task == "multilabel":
        return [name for name, p in probabilities.items() if p >= card.thresholds[name]]
    if card.task == "binary":
        negative, positive = card.classes
        return positive if probabilities[positive] >= card.thresholds[positive] else negative
    return max(card.classes, key=lambda name: probabilities[name] / max(card.thresholds[name], SMALLEST))


def in_doubt(card: BundleCard, probabilities: dict[str, float], decision: str | list[str]) -> str:
    """Why the reading is uncertain; empty when it is not."""
    asked = card.classes if isinstance(decision, list) else [decision]
    doubtful = []
    for name in asked:
        low, high = card.uncertain[name]
        p = probabilities[name]
        if low < high and p < high and (p >= low or card.task != "multilabel"):
            band = f"between {low:.2f} and {high:.2f}" if card.task == "multilabel" else f"below {high:.2f}"
            doubtful.append(f"{name} {p:.2f}, {band}")
    return "in the uncertain band: " + "; ".join(doubtful) if doubtful else ""
