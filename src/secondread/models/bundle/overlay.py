"""Heatmaps over images, with Pillow alone: colours that colour-blind eyes can read, transparent where nothing is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from secondread.images.decode_types import Fit
from secondread.images.lettering import letters

# Inferno from .2 to .9: lightness rises with the value, all colour deficits can follow it, nothing in it is nearly grey
STOPS = np.asarray([[66, 10, 104], [138, 34, 106], [204, 66, 72], [247, 130, 18], [246, 215, 70]], np.float32)
STRONGEST = 0.65
"""Opacity at the top of the scale."""
NOTHING = 1e-6
LONGEST_SIDE = 1024


def colours(shares: NDArray[np.float32]) -> NDArray[np.float32]:
    """Colours 0..255 [..., 3] of values 0..1."""
    at = np.clip(shares, 0.0, 1.0) * (len(STOPS) - 1)
    low = np.minimum(at.astype(np.int64), len(STOPS) - 2)
    part = (at - low)[..., None]
    mixed: NDArray[np.float32] = (STOPS[low] * (1.0 - part) + STOPS[low + 1] * part).astype(np.float32)
    return mixed


def onto_image(
    heat: NDArray[np.float32], height: int, width: int, fit: Fit = "stretch", crop_border: float = 0.0
) -> NDArray[np.float32]:
    """A map [h,w] of the model's square view, brought back to the image [height, width] it was cut from."""
    top, left = int(height * crop_border), int(width * crop_border)
    inner_height, inner_width = height - 2 * top, width - 2 * left
    if fit == "stretch":
        seen = _resized(heat, inner_height, inner_width)
    else:
        square = max(inner_height, inner_width) if fit == "pad" else min(inner_height, inner_width)
        seen = _centred(_resized(heat, square, square), inner_height, inner_width)
    placed = np.zeros((height, width), np.float32)
    placed[top : top + inner_height, left : left + inner_width] = seen
    return placed


def overlay(pixels: NDArray[np.uint8], heat: NDArray[np.float32], top: float) -> Image.Image:
    """The image [H,W] or [H,W,3] under its map [H,W]; `top` is the value at the end of the colour scale."""
    rgb = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels
    shares = np.clip(heat / top, 0.0, 1.0) if top > NOTHING else np.zeros_like(heat)
    opacity = (STRONGEST * shares)[..., None]
    mixed = rgb * (1.0 - opacity) + colours(shares) * opacity
    return Image.fromarray(np.round(mixed).astype(np.uint8))


def captioned(picture: Image.Image, caption: str, top: float, empty: str = "no positive evidence") -> Image.Image:
    """The picture with its caption and the colour scale (0 to `top`) below it; `empty` where there is no scale."""
    width = max(picture.width, 256)
    line, told = round(22 * width / 512), letters(max(10, round(14 * width / 512)))
    line = max(line, 12)  # the smallest letters need as much
    lines = told.lines(caption, width - 8)
    below = picture.height + line * len(lines)
    made = Image.new("RGB", (width, below + line), "white")
    made.paste(picture, ((width - picture.width) // 2, 0))
    draw = ImageDraw.Draw(made)
    for at, text in enumerate(lines):
        told.draw(draw, 4, picture.height + at * line + 1, text, "black")
    if top <= NOTHING:
        told.draw(draw, 4, below, empty, "black")
        return made
    bar = np.linspace(0, 1, width // 3, dtype=np.float32)
    coloured = np.repeat(np.round(colours(bar)).astype(np.uint8)[None], max(line // 2, 4), axis=0)
    made.paste(Image.fromarray(coloured), (4, below + line // 4))
    told.draw(draw, width // 3 + 12, below, f"0 to {top:.3g}", "black")
    return made


def shrunk(pixels: NDArray[np.uint8], longest: int = LONGEST_SIDE) -> NDArray[np.uint8]:
    """The image at most `longest` pixels wide and high."""
    factor = longest / max(pixels.shape[:2])
    if factor >= 1.0:
        return pixels
    height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)


def _resized(heat: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Bicubic: a coarse map between its cells without edges that look like findings; overshoot is cut off."""
    image = Image.fromarray(np.ascontiguousarray(heat, dtype=np.float32))
    made = np.asarray(image.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    return np.clip(made, heat.min(), heat.max())


def _centred(square: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """The middle [height, width] of a square map; outside of it zero."""
    side = len(square)
    placed = np.zeros((height, width), np.float32)
    rows, columns = min(side, height), min(side, width)
    from_top, from_left = (side - rows) // 2, (side - columns) // 2
    to_top, to_left = (height - rows) // 2, (width - columns) // 2
    placed[to_top : to_top + rows, to_left : to_left + columns] = square[
        from_top : from_top + rows, from_left : from_left + columns
    ]
    return placed
