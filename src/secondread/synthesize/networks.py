"""The DCGAN-shaped generator and critic that all three GANs share.

Generator: noise → 4×4 → … → size×size by transposed 4×4 convolutions of stride 2, BatchNorm + ReLU, tanh (Radford et
al. 2015, arXiv 1511.06434). Critic: its mirror with LeakyReLU 0.2. With classes, the one-hot label joins the noise and,
as extra planes, the image.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

Norm = Literal["batch", "layer", "none"]


def _stages(size: int) -> int:
    """How often 4×4 doubles to reach `size` (a power of two from 16)."""
    stages = int(math.log2(size)) - 2
    if size < 16 or 4 * 2**stages != size:
        raise ValueError(f"a GAN's size is a power of two from 16, not {size}")
    return stages


def _widths(size: int, width: int) -> list[int]:
    """Channels at 4×4, 8×8, … up to half of `size`, falling from at most 8·width to width."""
    stages = _stages(size)
    return [width * min(8, 2 ** (stages - 1 - stage)) for stage in range(stages)]


class Generator(nn.Module):
    """[B, latent] noise (and [B] labels) → [B, C, size, size] in −1..1."""

    def __init__(self, size: int, channels: int, latent: int, width: int, classes: int = 0) -> None:
        super().__init__()
        self.latent, self.classes = latent, classes
        widths = _widths(size, width)
        layers: list[nn.Module] = [nn.ConvTranspose2d(latent + classes, widths[0], 4, bias=False)]
        for before, after in pairwise(widths):
            layers += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
        layers += [
            nn.BatchNorm2d(widths[-1]),
            nn.ReLU(True),
            nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1),
            nn.Tanh(),
        ]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.classes:
            noise = torch.cat([noise, _one_hot(labels, self.classes, noise)], dim=1)
        made: Tensor = self.layers(noise[:, :, None, None])
        return made


class Critic(nn.Module):
    """[B, C, size, size] in −1..1 (and [B] labels) → [B] scores without a sigmoid."""

    def __init__(self, size: int, channels: int, width: int, norm: Norm, classes: int = 0) -> None:
        super().__init__()
        self.classes = classes
        widths = _widths(size, width)[::-1]
        layers: list[nn.Module] = [nn.Conv2d(channels + classes, widths[0], 4, 2, 1), nn.LeakyReLU(0.2, True)]
        for before, after in pairwise(widths):
            layers += [
                nn.Conv2d(before, after, 4, 2, 1, bias=norm == "none"),
                *_norm(norm, after),
                nn.LeakyReLU(0.2, True),
            ]
        layers += [nn.Conv2d(widths[-1], 1, 4)]
        self.layers = nn.Sequential(*layers)
        self.apply(_initialise)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        if self.classes:
            planes = _one_hot(labels, self.classes, images)[:, :, None, None]
            images = torch.cat([images, planes.expand(-1, -1, *images.shape[2:])], dim=1)
        scores: Tensor = self.layers(images)
        return scores.flatten()


def _one_hot(labels: Tensor | None, classes: int, like: Tensor) -> Tensor:
    if labels is None:
        raise ValueError("a class-conditional GAN needs labels")
    return nn.functional.one_hot(labels, classes).to(like.dtype)


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "batch":
        return [nn.BatchNorm2d(channels)]
    if norm == "layer":  # over channels, height and width: what a gradient penalty per sample allows
        return [nn.GroupNorm(1, channels)]
    return []


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
