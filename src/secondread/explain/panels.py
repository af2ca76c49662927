"""Pictures of explained cases: the image beside its maps, one colour scale for all maps of an image and method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from secondread.explain.grad_cam import EMPTY, NAMES, Method
from secondread.images.lettering import letters
from secondread.models.bundle.overlay import captioned, onto_image, overlay

SIDE = 224
GAP = 6
HEADING = 22


@dataclass(frozen=True)
class Shown:
    """One case: pixels of the model's view, maps [K,h,w] by method, which labels to draw and what to say."""

    pixels: NDArray[np.uint8]
    maps: Mapping[Method, NDArray[np.float32]]
    labels: Sequence[int]
    captions: Sequence[str]
    heading: str


def panel(shown: Shown) -> Image.Image:
    """The case as one strip; an empty map says "no positive evidence"."""
    plain = _enlarged(shown.pixels)
    pictures = [captioned(Image.fromarray(plain).convert("RGB"), "image", 0.0, empty="")]
    for method, maps in shown.maps.items():
        top = float(maps.max())
        for label, caption in zip(shown.labels, shown.captions, strict=True):
            heat = onto_image(maps[label], SIDE, SIDE)
            nothing = float(maps[label].max()) <= EMPTY * max(top, 1e-30)
            drawn = overlay(plain, heat, 0.0 if nothing else top)
            pictures.append(captioned(drawn, f"{NAMES[method]}: {caption}", 0.0 if nothing else top))
    return _row(pictures, shown.heading)


def sheet(panels: Sequence[Image.Image]) -> Image.Image:
    """Panels under one another."""
    width, height = max(p.width for p in panels), sum(p.height + GAP for p in panels)
    made, top = Image.new("RGB", (width, height), "white"), 0
    for one in panels:
        made.paste(one, (0, top))
        top += one.height + GAP
    return made


def _enlarged(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    resized = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.uint8)


def _row(pictures: Sequence[Image.Image], heading: str) -> Image.Image:
    width = sum(p.width + GAP for p in pictures)
    made = Image.new("RGB", (width, HEADING + max(p.height for p in pictures)), "white")
    letters(13).draw(ImageDraw.Draw(made), 4, 3, heading, "black")
    left = 0
    for picture in pictures:
        made.paste(picture, (left, HEADING))
        left += picture.width + GAP
    return made
