"""Two images of a batch in one, with labels in proportion. A label that either does not have (NaN) stays unknown."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from secondread.images.augment_geometry import beside
from secondread.images.augment_photometry import rectangles


def mixed_images(images: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x̃ = λx + (1−λ)x′ with λ ~ Beta(α, α) per image, folded to λ ≥ ½ so that each image stays mostly itself."""
    share = beta(len(images), alpha, generator)
    share = torch.maximum(share, 1 - share)
    partner = beside(torch.randperm(len(images), generator=generator), images)
    kept = beside(share, images).to(images.dtype)[:, None, None, None]
    mixed = images * kept + images[partner] * (1 - kept)
    return mixed, _blend(labels, partner, share)


def pasted_images(images: Tensor, labels: Tensor, alpha: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A rectangle of area 1−λ, λ ~ Beta(α, α), of each image comes from another; λ is what truly stayed."""
    batch = len(images)
    half = (1 - beta(batch, alpha, generator)).sqrt() / 2
    inside = rectangles(images, half, half, generator)
    partner = beside(torch.randperm(batch, generator=generator), images)
    pasted = torch.where(inside[:, None], images[partner], images)
    return pasted, _blend(labels, partner, 1 - inside.float().mean(dim=(1, 2)))


def beta(count: int, alpha: float, generator: torch.Generator) -> Tensor:
    """[count] from Beta(α, α): torch draws it from its global state only, so NumPy does, seeded by the generator."""
    seed = int(torch.randint(2**31, (1,), generator=generator))
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, count)).float()


def _blend(labels: Tensor, partner: Tensor, share: Tensor) -> Tensor:
    kept = beside(share, labels).to(labels.dtype)[:, None]
    return labels * kept + labels[partner] * (1 - kept)
