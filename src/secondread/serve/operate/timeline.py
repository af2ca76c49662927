"""How the share of refused images went over time, as a drawing: lengths in units of its view box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from secondread.models.bundle.promise import Share
from secondread.serve.operate.watching import Piece

WIDTH, HEIGHT = 600, 100
STEPS_OF_TOP = 10
"""The axis ends at a whole tenth: a share of one in a hundred is not drawn as a tower."""


@dataclass(frozen=True)
class Bar:
    """A piece of time: a bar of the share, and a line from end to end of its interval."""

    x: float
    y: float
    width: float
    height: float
    middle: float
    upper: float
    lower: float
    words: str


@dataclass(frozen=True)
class Timeline:
    bars: list[Bar]
    top: float
    """The share at the upper end of the axis."""
    band: tuple[float, float] | None
    """Upper edge and height of the promised interval."""
    first: str
    last: str
    width: int = WIDTH
    height: int = HEIGHT


def timeline(pieces: Sequence[Piece], promised: Share | None) -> Timeline:
    """Pieces in which nothing was read have no bar."""
    seen = [piece.refused for piece in pieces if piece.refused.images]
    highest = max([*(share.high for share in seen), promised.high if promised else 0.0, 1e-9])
    top = min(math.ceil(highest * STEPS_OF_TOP), STEPS_OF_TOP) / STEPS_OF_TOP

    def y(share: float) -> float:
        return round(HEIGHT * (1 - share / top), 1)

    step = WIDTH / max(len(pieces), 1)
    bars = []
    for at, piece in enumerate(pieces):
        share = piece.refused
        if share.images:
            x, high = at * step, y(share.value)
            words = f"{piece.begins:%Y-%m-%d}: {share.some} of {share.images} refused"
            bars.append(Bar(round(x + step * 0.2, 1), high, round(step * 0.6, 1), round(HEIGHT - high, 1),
                            round(x + step / 2, 1), y(share.high), y(share.low), words))  # fmt: skip
    band = (y(promised.high), round(y(promised.low) - y(promised.high), 1)) if promised else None
    first, last = (f"{piece.begins:%Y-%m-%d}" for piece in (pieces[0], pieces[-1]))
    return Timeline(bars, top, band, first, last)
