"""Augmentation of a whole batch at once, each image by its own random draw.

An `Augment` takes images [B,C,H,W] (float, 0..255), labels [B,K] and an explicit generator, and gives images and labels
of the same shapes. All draws are symmetric and borders are mirrored, so that the mean brightness of the data stays what
the model's normalisation was computed from; grey images stay grey.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.core.limits import AboveZero, BelowOne, Positive
from secondread.core.registry import part
from secondread.images.augment_geometry import Geometry, beside, warped
from secondread.images.augment_mixing import mixed_images, pasted_images
from secondread.images.augment_photometry import (
    blurred,
    brightened,
    contrasted,
    cut_out,
    exposed,
    noised,
    resharpened,
    windowed,
)

Augment = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
Change = Callable[[Tensor, torch.Generator], Tensor]
Degrees = Annotated[float, Field(ge=0.0, le=180.0)]
BelowHalf = Annotated[float, Field(ge=0.0, lt=0.5)]
"""From one half on, the black point may pass the white point: the image would become its negative."""
Flip = Literal["none", "horizontal", "vertical", "both"]


def flips(flip: Flip) -> tuple[bool, bool]:
    """Whether to mirror left and right, and top and bottom."""
    return flip in ("horizontal", "both"), flip in ("vertical", "both")


@dataclass(frozen=True)
class ImagesOnly:
    """An augmentation that leaves the labels alone."""

    change: Change

    def __call__(self, images: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.change(images, generator), labels


@part("augment", "none")
def none() -> Augment | None:
    """Images as they are."""
    return None


@part("augment", "traditional")
def traditional(*, rotation: Degrees = 15.0, horizontal: bool = True, vertical: bool = True) -> Augment:
    """Random rotation, horizontal and vertical flips, as the published systems do (a mirrored chest is unreal)."""
    geometry = Geometry(rotation=rotation, horizontal=horizontal, vertical=vertical)
    return ImagesOnly(lambda images, generator: warped(images, geometry, generator))


@part("augment", "affine")
def affine(*, shift: BelowOne = 0.1, zoom: BelowOne = 0.1, rotation: Degrees = 10.0, flip: Flip = "none") -> Augment:
    """Random shift, zoom and rotation; flips by option."""
    geometry = Geometry(rotation, shift, zoom, *flips(flip))
    return ImagesOnly(lambda images, generator: warped(images, geometry, generator))


@part("augment", "light")
def light(
    *, rotation: Degrees = 5.0, shift: BelowOne = 0.04, zoom: BelowOne = 0.06, brightness: BelowOne = 0.08
) -> Augment:
    """Small shift, zoom, rotation and brightness; no flips."""
    geometry = Geometry(rotation, shift, zoom)

    def change(images: Tensor, generator: torch.Generator) -> Tensor:
        return brightened(warped(images, geometry, generator), brightness, generator)

    return ImagesOnly(change)


@part("augment", "strong")
def strong(
    *,
    rotation: Degrees = 10.0,
    shift: BelowOne = 0.08,
    zoom: BelowOne = 0.15,
    brightness: BelowOne = 0.15,
    contrast: BelowOne = 0.3,
    noise: BelowOne = 0.03,
    blur: BelowOne = 0.5,
    cutout: BelowOne = 0.25,
    flip: Flip = "none",
    share: AboveZero = 1.0,
) -> Augment:
    """Shift, zoom, rotation, brightness, contrast, noise, blur and cut-out; flips by option; a share of the images."""
    geometry = Geometry(rotation, shift, zoom, *flips(flip))

    def change(images: Tensor, generator: torch.Generator) -> Tensor:
        images = warped(images, geometry, generator)
        images = contrasted(images, contrast, generator)
        images = brightened(images, brightness, generator)
        images = blurred(images, blur, generator)
        images = noised(images, noise, generator)
        return cut_out(images, cutout, generator)

    return ImagesOnly(change if share == 1.0 else some_of(change, share))


def some_of(change: Change, share: float) -> Change:
    """`change`, applied to this share of the images."""

    def changed(images: Tensor, generator: torch.Generator) -> Tensor:
        chosen = beside(torch.rand(len(images), generator=generator) < share, images)
        return torch.where(chosen[:, None, None, None], change(images, generator), images)

    return changed


@part("augment", "acquisition")
def acquisition(
    *,
    rotation: Degrees = 5.0,
    shift: BelowOne = 0.08,
    zoom: BelowOne = 0.2,
    aspect: BelowOne = 0.2,
    gamma: BelowOne = 0.5,
    window: BelowHalf = 0.15,
    sharpness: BelowOne = 0.6,
    noise: BelowOne = 0.02,
) -> Augment:
    """What differs between machines and sites: framing, aspect, exposure, window, sharpness and noise; no flips."""
    geometry = Geometry(rotation, shift, zoom, aspect=aspect)

    def change(images: Tensor, generator: torch.Generator) -> Tensor:
        images = warped(images, geometry, generator)
        images = resharpened(images, sharpness, generator)
        images = noised(images, noise, generator)
        return windowed(
            exposed(images, gamma, generator), window, generator
        )  # the display comes last, as it does there

    return ImagesOnly(change)


@part("augment", "mixup")
def mixup(*, alpha: Positive = 0.2) -> Augment:
    """Each image and its labels blended with another of the batch (Zhang et al. 2018)."""
    return lambda images, labels, generator: mixed_images(images, labels, alpha, generator)


@part("augment", "cutmix")
def cutmix(*, alpha: Positive = 1.0) -> Augment:
    """A rectangle of each image replaced by that of another, labels in proportion (Yun et al. 2019)."""
    return lambda images, labels, generator: pasted_images(images, labels, alpha, generator)
