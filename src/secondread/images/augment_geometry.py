"""Random affine transforms of a batch in one resampling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Geometry:
    """Greatest rotation (degrees either way), shift (share of the side), zoom (share), which flips, aspect (share)."""

    rotation: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    horizontal: bool = False
    vertical: bool = False
    aspect: float = 0.0
    """How much wider than high, or the other way round, an image becomes; its area stays."""

    @property
    def only_flips(self) -> bool:
        return not (self.rotation or self.shift or self.zoom or self.aspect)


def warped(images: Tensor, geometry: Geometry, generator: torch.Generator) -> Tensor:
    """Images [B,C,H,W] under transforms drawn per image; borders are mirrored."""
    count = len(images)
    angle = symmetric(count, math.radians(geometry.rotation), generator)
    scale = torch.exp(symmetric(count, math.log1p(geometry.zoom), generator))
    across, down = (symmetric(count, 2 * geometry.shift, generator) for _ in range(2))
    mirror = coins(count, geometry.horizontal, generator), coins(count, geometry.vertical, generator)
    if geometry.only_flips:
        return _flipped(images, *mirror)
    ratio = images.shape[-1] / images.shape[-2]
    wide, tall = _sides(count, geometry.aspect, generator)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    theta = torch.stack([
        torch.stack([cosine * wide * mirror[0], -sine * wide * mirror[1] / ratio, across], dim=1),
        torch.stack([sine * tall * mirror[0] * ratio, cosine * tall * mirror[1], down], dim=1),
    ], dim=1)  # fmt: skip
    grid = functional.affine_grid(beside(theta, images), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid.to(images.dtype), padding_mode="reflection", align_corners=False)


def _sides(count: int, aspect: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Factors of width and height, of product 1; without `aspect` nothing is drawn, so that other draws stay."""
    if not aspect:
        return torch.ones(count), torch.ones(count)
    wide = torch.exp(symmetric(count, math.log1p(aspect) / 2, generator))
    return wide, 1 / wide


def symmetric(count: int, reach: float, generator: torch.Generator) -> Tensor:
    """[count] uniform in ±reach, drawn on the CPU so that devices agree."""
    return (torch.rand(count, generator=generator) * 2 - 1) * reach


def beside(drawn: Tensor, images: Tensor) -> Tensor:
    """What was drawn on the CPU, on the device of the images; the step before may go on there meanwhile."""
    return drawn.to(images.device, non_blocking=True)


def coins(count: int, tossed: bool, generator: torch.Generator) -> Tensor:
    """[count] of −1 or 1; all 1 when not tossed."""
    drawn = torch.rand(count, generator=generator) < 0.5
    return torch.where(drawn & tossed, -1.0, 1.0)


def _flipped(images: Tensor, horizontal: Tensor, vertical: Tensor) -> Tensor:
    for signs, axis in ((horizontal, 3), (vertical, 2)):
        chosen = beside(signs < 0, images)[:, None, None, None]
        images = torch.where(chosen, images.flip(axis), images)
    return images
