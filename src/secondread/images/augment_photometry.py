"""Random changes of grey values, each image by its own draw, all channels alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from secondread.images.augment_geometry import beside, symmetric

WHITE = 255.0
APPLIED = 0.5
"""Share of the images that blur, noise and cut-out are applied to."""


def brightened(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Add a constant of up to ±`reach` of the range."""
    return (images + _per_image(symmetric(len(images), reach * WHITE, generator), images)).clamp(0, WHITE)


def contrasted(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Stretch by 1 ± `reach` about each image's own mean."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    factor = 1 + _per_image(symmetric(len(images), reach, generator), images)
    return ((images - mean) * factor + mean).clamp(0, WHITE)


def exposed(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Bend the grey values by a power (gamma) between 1 / (1 + `reach`) and 1 + `reach`; black and white stay."""
    power = torch.exp(symmetric(len(images), math.log1p(reach), generator))
    return (images / WHITE).clamp(min=0) ** _per_image(power, images) * WHITE


def windowed(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Move the black and the white point, each by up to ±`reach` of the range; what falls outside is cut off."""
    black, white = (_per_image(symmetric(len(images), reach, generator), images) for _ in range(2))
    return ((images - black * WHITE) / (1 + white - black)).clamp(0, WHITE)


def resharpened(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Blend with a 5×5 binomial blur by up to `reach`, or push as far away from it (an unsharp mask)."""
    share = _per_image(symmetric(len(images), reach, generator), images)
    return torch.lerp(images, _binomial(images), share).clamp(0, WHITE)


def noised(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise of up to `reach` of the range (standard deviation), the same in every channel."""
    chosen = _chosen(len(images), generator)
    amount = torch.rand(len(images), generator=generator)[chosen] * reach * WHITE
    drawn = torch.Generator(images.device)
    drawn.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
    shape = (len(amount), 1, *images.shape[2:])
    noise = torch.randn(shape, generator=drawn, device=images.device, dtype=images.dtype)
    return _with(images, chosen, lambda some: (some + noise * _per_image(amount, some)).clamp(0, WHITE))


def blurred(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Blend with a 5×5 binomial blur, its share up to `reach`."""
    chosen = _chosen(len(images), generator)
    share = torch.rand(len(images), generator=generator)[chosen] * reach
    return _with(images, chosen, lambda some: torch.lerp(some, _binomial(some), _per_image(share, some)))


def _binomial(images: Tensor) -> Tensor:
    """1-4-6-4-1 over 16 along both axes; sums of shifted views are faster than a convolution of one channel."""
    padded = functional.pad(images, (2, 2, 2, 2), mode="replicate")
    for axis in (2, 3):
        length = padded.shape[axis] - 4
        outer, inner, middle = (
            [padded.narrow(axis, start, length) for start in starts] for starts in ((0, 4), (1, 3), (2,))
        )
        padded = (outer[0] + outer[1] + 4 * (inner[0] + inner[1]) + 6 * middle[0]) / 16
    return padded


def cut_out(images: Tensor, reach: float, generator: torch.Generator) -> Tensor:
    """Paint a square of up to `reach` of the side in the image's mean grey (DeVries & Taylor 2017)."""
    batch = len(images)
    half = torch.rand(batch, generator=generator) * reach / 2 * _chosen(batch, generator).float()
    inside = rectangles(images, half, half, generator)
    mean = images.mean(dim=(2, 3), keepdim=True)
    return torch.where(inside[:, None], mean, images)


def rectangles(images: Tensor, half_height: Tensor, half_width: Tensor, generator: torch.Generator) -> Tensor:
    """Masks [B,H,W] of rectangles about random centres, where the images are; halves are shares of the side."""
    batch, _, height, width = images.shape
    down = torch.rand(batch, generator=generator)[:, None]
    across = torch.rand(batch, generator=generator)[:, None]
    rows = ((torch.arange(height) + 0.5) / height)[None]
    columns = ((torch.arange(width) + 0.5) / width)[None]
    tall, wide = (rows - down).abs() < half_height[:, None], (columns - across).abs() < half_width[:, None]
    return beside(tall, images)[:, :, None] & beside(wide, images)[:, None, :]


def _chosen(count: int, generator: torch.Generator) -> Tensor:
    """[count] of bool: the images that are changed."""
    return torch.rand(count, generator=generator) < APPLIED


def _with(images: Tensor, chosen: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Images of which the chosen are changed."""
    index = beside(chosen.nonzero()[:, 0], images)
    return images.index_copy(0, index, change(images[index])) if len(index) else images


def _per_image(values: Tensor, images: Tensor) -> Tensor:
    return beside(values, images).to(images.dtype)[:, None, None, None]
