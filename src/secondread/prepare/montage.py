"""Small pictures side by side, as one PNG inside the page."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.pages.document import data_url

TILE = 112
GAP = 6


def strips(groups: Sequence[Sequence[NDArray[np.uint8]]], across: int, rows: int) -> str:
    """Groups of small pictures as a data URL: pictures of a group touch, groups keep a distance. `rows` at most."""
    lines: list[list[Sequence[NDArray[np.uint8]]]] = [[]]
    used = 0
    for group in groups:
        shown = group[:across]
        if used and used + len(shown) > across:
            lines.append([])
            used = 0
        lines[-1].append(shown)
        used += len(shown)
    return _drawn(lines[:rows])


def _drawn(lines: Sequence[Sequence[Sequence[NDArray[np.uint8]]]]) -> str:
    width = max(sum(len(group) * TILE + GAP for group in line) for line in lines) - GAP
    canvas = np.full((len(lines) * (TILE + GAP) - GAP, width), 255, np.uint8)
    for row, line in enumerate(lines):
        left = 0
        for group in line:
            for picture in group:
                tile = np.asarray(Image.fromarray(picture).resize((TILE, TILE)))
                canvas[row * (TILE + GAP) : row * (TILE + GAP) + TILE, left : left + TILE] = tile
                left += TILE
            left += GAP
    buffer = io.BytesIO()
    Image.fromarray(canvas).save(buffer, "PNG", optimize=True)
    return data_url(buffer.getvalue(), "image/png")
