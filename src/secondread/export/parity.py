"""Does the bundle answer as the checkpoint does? Measured on validation images, written into the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.export.grad_cam_head import grad_cam
from secondread.export.material import Images
from secondread.metrics.calibration import OperatingPoint
from secondread.models.bundle.judge import Outputs
from secondread.models.classifier import Classifier

LARGEST_SHARE = 1e-4
"""Of the spread of the logits: the largest difference that counts as parity."""
LEAST_CORRELATION = 0.999
LEAST_SPREAD = 1e-2
TIE = 1e-6
HEAT_IMAGES = 32
BATCH = 16

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Parity:
    images: int
    max_abs_dlogit: float
    logit_spread: float
    share_of_spread: float
    max_abs_dprobability: float
    flips: int
    """Decisions that differ (ties within rounding left aside)."""
    heat_images: int
    heat_correlation: float | None
    """Of all map values with those of autograd; None where the bundle has no heatmaps."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def check(self) -> None:
        """Raise `BadData` when the bundle does not answer as its checkpoint."""
        told = None
        if not self.share_of_spread <= LARGEST_SHARE:
            told = f"logits differ by {self.share_of_spread:.2g} of their spread (at most {LARGEST_SHARE:g})"
        elif self.flips:
            told = f"{self.flips} of {self.images} decisions differ"
        elif self.heat_correlation is not None and not self.heat_correlation >= LEAST_CORRELATION:
            told = f"heatmaps correlate by {self.heat_correlation:.4f} (at least {LEAST_CORRELATION})"
        if told:
            raise BadData(f"export: the bundle does not answer as its checkpoint: {told}. Nothing was exported")


def measure_parity(
    members: Sequence[Classifier], point: OperatingPoint, images: NDArray[np.uint8], outputs: Outputs
) -> Parity:
    """Compare a graph's `outputs` for `images` [N,C,H,W] with the mean logits of `members` in torch."""
    native = native_logits(members, images)
    spread = float(np.ptp(native))
    worst = float(np.abs(outputs.logits - native).max())
    chances = point.probabilities(native)
    differ = np.abs(outputs.probabilities - chances).max(1)
    flipped = (point.decide(outputs.probabilities) != point.decide(chances)).any(1) & (differ > TIE)
    heat = None
    if outputs.heatmaps is not None:
        first = images[:HEAT_IMAGES]
        heat = correlation(outputs.heatmaps[: len(first)], native_heatmaps(members, first))
    return Parity(
        len(images), worst, spread, worst / max(spread, LEAST_SPREAD), float(differ.max()), int(flipped.sum()),
        min(len(images), HEAT_IMAGES) if heat is not None else 0, heat,
    )  # fmt: skip


@torch.inference_mode()
def native_logits(members: Sequence[Classifier], images: Images) -> Floats:
    """Mean logits [N,K] of the members in torch."""
    batches = [torch.from_numpy(images[at : at + BATCH]) for at in range(0, len(images), BATCH)]
    logits = torch.cat([torch.stack([member(batch) for member in members]).mean(0) for batch in batches])
    found: Floats = logits.numpy()
    return found


def native_heatmaps(members: Sequence[Classifier], images: NDArray[np.uint8]) -> Floats:
    """Grad-CAM [N,K,h,w] by autograd, the mean over the members: the reference for what the graph computes."""
    found = [
        torch.stack([autograd_maps(member, torch.from_numpy(images[at : at + BATCH])) for member in members]).mean(0)
        for at in range(0, len(images), BATCH)
    ]
    heat: Floats = torch.cat(found).numpy()
    return heat


def autograd_maps(classifier: Classifier, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        maps = classifier.feature_maps(images)
    maps.requires_grad_()
    logits = classifier.logits_from_maps(maps)
    gradients = [torch.autograd.grad(one.sum(), maps, retain_graph=True)[0] for one in logits.unbind(1)]
    return grad_cam(maps, torch.stack([gradient.sum((2, 3)) for gradient in gradients], 1)).detach()


def correlation(one: Floats, other: Floats) -> float:
    """Pearson's, over all values; of maps that are the same constant everywhere it is 1."""
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    if np.allclose(a, b, rtol=1e-5, atol=1e-12):
        return 1.0
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / scale) if scale > 0 else 0.0
