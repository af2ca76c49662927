"""Does the map show what the model uses? Deleting and inserting what it marks, and the map of a randomised model."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from torch import Tensor, nn

from secondread.models.classifier import Classifier

Floats = NDArray[np.float32]
STEPS = 12
BLUR_SHARE = 8
"""What is deleted becomes the image at an eighth of its size, enlarged again: dark or bright as before, but empty."""


@torch.inference_mode()
def deletion_and_insertion(
    probabilities: Callable[[Tensor], NDArray[np.float64]], image: NDArray[np.uint8], heat: Floats, label: int
) -> tuple[float, float]:
    """Mean probability of the label while the map's places are taken away, and while they come back (Petsiuk 2018).

    The image [C,S,S] loses (or regains) its places in the order of the map [S,S], the largest first. A faithful map has
    a low deletion and a high insertion value.
    """
    original = torch.from_numpy(image).float()
    small = nn.functional.avg_pool2d(original[None], max(image.shape[-1] // BLUR_SHARE, 1))
    empty = nn.functional.interpolate(small, image.shape[-2:], mode="bilinear", align_corners=False)[0]
    order = np.argsort(-heat.ravel(), kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    rank_SS = torch.from_numpy(rank.reshape(heat.shape))
    counts = np.linspace(0, order.size, STEPS + 1).round().astype(int)
    taken = torch.stack([rank_SS < int(count) for count in counts])[:, None]
    without, with_only = torch.where(taken, empty, original), torch.where(taken, original, empty)
    chances = probabilities(torch.cat([without, with_only]).round().to(torch.uint8))[:, label]
    curves = chances.reshape(2, STEPS + 1)
    deleted, inserted = (float(np.trapezoid(curve, dx=1 / STEPS)) for curve in curves)
    return deleted, inserted


def randomised(classifier: Classifier, seed: int = 0) -> list[tuple[str, Classifier]]:
    """Copies of the classifier with ever more layers drawn anew, from the head to the input (Adebayo 2018, cascading).

    Every parameter is permuted within its tensor, so that its distribution stays as it was trained.
    """
    made, current = [], copy.deepcopy(classifier).eval()
    drawn = torch.Generator().manual_seed(seed)
    groups: list[tuple[str, list[nn.Module]]] = [("head", [current.backbone.dense])]
    stages = list(current.backbone.stages())
    groups += [(f"stage {at + 1} and after", list(stages[at])) for at in range(len(stages) - 1, -1, -1)]
    for name, modules in groups:
        for module in modules:
            _permute(module, drawn)
        made.append((name, copy.deepcopy(current)))
    return made


@torch.no_grad()
def _permute(module: nn.Module, drawn: torch.Generator) -> None:
    for parameter in module.parameters():
        order = torch.randperm(parameter.numel(), generator=drawn)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))


def rank_correlation(one: Floats, other: Floats) -> float:
    """Spearman's between two maps [h,w]; 0 when one of them is the same everywhere."""
    a, b = rankdata(one.ravel()), rankdata(other.ravel())
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / scale if scale > 0 else 0.0
