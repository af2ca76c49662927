"""DiffAugment: the same differentiable augmentation of real and generated images keeps a critic from memorising.

Zhao et al. 2020, arXiv 2006.10738. No flips: a mirrored chest is another anatomy.
"""

from __future__ import annotations

import torch
from torch import Tensor


def diff_augment(images: Tensor, policies: tuple[str, ...], generator: torch.Generator) -> Tensor:
    """Augment [B, C, H, W] in −1..1 per sample; gradients pass through. Policies: colour, translation, cutout."""
    for policy in policies:
        images = POLICIES[policy](images, generator)
    return images


def _draw(images: Tensor, generator: torch.Generator) -> Tensor:
    """One number in −0.5..0.5 per image, drawn on the CPU so that devices agree."""
    return (torch.rand(len(images), generator=generator) - 0.5).to(images.device, images.dtype, non_blocking=True)[
        :, None, None, None
    ]


def _colour(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness ±0.5 and contrast 0.5..1.5 (saturation means nothing to one channel)."""
    images = images + _draw(images, generator)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (images - mean) * (_draw(images, generator) + 1.0) + mean


def _translation(images: Tensor, generator: torch.Generator, share: float = 0.125) -> Tensor:
    """Shift by up to an eighth of the side, filling with zeros."""
    batch, _, height, width = images.shape
    reach = int(height * share + 0.5), int(width * share + 0.5)
    padded = torch.nn.functional.pad(images, (reach[1], reach[1], reach[0], reach[0]))
    down = torch.randint(0, 2 * reach[0] + 1, (batch,), generator=generator).to(images.device, non_blocking=True)
    right = torch.randint(0, 2 * reach[1] + 1, (batch,), generator=generator).to(images.device, non_blocking=True)
    rows = down[:, None] + torch.arange(height, device=images.device)
    columns = right[:, None] + torch.arange(width, device=images.device)
    index = torch.arange(batch, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _cutout(images: Tensor, generator: torch.Generator, share: float = 0.5) -> Tensor:
    """Black out a square of half the side, its centre anywhere."""
    batch, _, height, width = images.shape
    half = height * share / 2, width * share / 2
    centre_y = (torch.rand(batch, generator=generator) * height).to(images.device, non_blocking=True)[:, None, None]
    centre_x = (torch.rand(batch, generator=generator) * width).to(images.device, non_blocking=True)[:, None, None]
    y = torch.arange(height, device=images.device)[None, :, None]
    x = torch.arange(width, device=images.device)[None, None, :]
    kept = ((y - centre_y).abs() > half[0]) | ((x - centre_x).abs() > half[1])
    return images * kept[:, None].to(images.dtype)


POLICIES = {"colour": _colour, "translation": _translation, "cutout": _cutout}
