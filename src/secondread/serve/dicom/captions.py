"""The line of words under a captured picture: whoever sees the picture alone must see what it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from secondread.images.lettering import letters
from secondread.models.bundle.card import DISCLAIMER
from secondread.serve.reads.models import Read
from secondread.serve.reads.words import about_map, verdict_of

NARROWEST = 320


def with_caption(pixels: NDArray[np.uint8], read: Read) -> NDArray[np.uint8]:
    """The picture [h,w,3] with verdict, warning and model below it."""
    verdict = verdict_of(read, read.bundle.card)
    lines = [
        verdict.headline,
        verdict.sentence,
        about_map(read) if read.heat else "No attention map.",
        f"{read.bundle.name} {read.bundle.short}. {DISCLAIMER}",
    ]
    height, width = pixels.shape[:2]
    wide = max(width, NARROWEST)
    size = max(11, wide // 60)
    told = letters(size)
    broken = [part for line in lines for part in told.lines(line, wide - 2 * size)]
    step = round(size * 1.45)
    made = Image.new("RGB", (wide, height + step * len(broken) + size), "black")
    made.paste(Image.fromarray(pixels), ((wide - width) // 2, 0))
    draw = ImageDraw.Draw(made)
    for at, line in enumerate(broken):
        told.draw(draw, size, height + size // 2 + at * step, line, "white")
    return np.asarray(made, dtype=np.uint8)
