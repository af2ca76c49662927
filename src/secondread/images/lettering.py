"""Letters on pictures, each from the first font that has it.

Pillow's own font knows ASCII and little more. DejaVu Sans, which lies in matplotlib, knows Latin, Greek, Cyrillic and
more; Chinese, Japanese and Korean are drawn where the machine has a font for them. What no font has is an empty box.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

from secondread.core.errors import WrongRequest

COVERED = "\u0250"
"""Of the letters before this one DejaVu Sans lacks none."""
WIDER = (
    "NotoSansCJK-Regular.ttc", "NotoSansCJKsc-Regular.otf", "SourceHanSansSC-Regular.otf", "wqy-microhei.ttc",
    "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf",
    "msyh.ttc", "simsun.ttc", "YuGothM.ttc", "malgun.ttf",
    "PingFang.ttc", "Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "Arial Unicode.ttf",
)  # fmt: skip
"""Fonts for more than DejaVu Sans has, as they are called on Linux, Windows and macOS."""


@cache
def dejavu(bold: bool = False) -> Path:
    """DejaVu Sans in matplotlib, found without importing it, or where that is not installed, in the system.

    Raises `WrongRequest` where it is in neither.
    """
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    found = importlib.util.find_spec("matplotlib")
    if found is not None and found.submodule_search_locations:
        return Path(found.submodule_search_locations[0], "mpl-data", "fonts", "ttf", name)
    try:
        return Path(str(ImageFont.truetype(name).path))
    except OSError as error:
        raise WrongRequest(f"{name} is missing: install matplotlib or the system's DejaVu fonts") from error


@cache
def wider_fonts() -> tuple[Path, ...]:
    """Those of `WIDER` that this machine has."""
    found = []
    for name in WIDER:
        try:
            found.append(Path(str(ImageFont.truetype(name).path)))
        except OSError:
            continue
    return tuple(found)


@cache
def letters_of(font: Path) -> frozenset[int]:
    """Code points that a font has a shape for."""
    from fontTools.ttLib import TTFont

    with TTFont(font, fontNumber=0, lazy=True) as opened:
        return frozenset(opened.getBestCmap() or ())


def printable(text: str) -> str:
    """Text in one line, without what has no shape."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


@cache
def letters(size: int, bold: bool = False) -> Letters:
    return Letters(size, bold)


class Letters:
    """Text of one size in pixels."""

    def __init__(self, size: int, bold: bool = False) -> None:
        self.size, self.bold = size, bold
        self.plain = ImageFont.truetype(dejavu(bold), size)
        self.ascent, self.descent = self.plain.getmetrics()

    def width(self, text: str) -> float:
        return sum(font.getlength(part) for font, part in self._parts(text))

    def draw(self, on: ImageDraw.ImageDraw, x: float, y: float, text: str, colour: str | int) -> None:
        """`x`, `y`: the upper left corner."""
        for font, part in self._parts(text):
            on.text((x, y + self.ascent), part, colour, font, anchor="ls")
            x += font.getlength(part)

    def lines(self, text: str, width: float) -> list[str]:
        """Text in lines no wider than `width`: broken at spaces, and inside a word that is wider alone."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if self.width(longer) <= width:
                lines[-1] = longer
            else:
                lines += self._cut(word, width)
        return [line for line in lines if line] or [""]

    def _cut(self, word: str, width: float) -> list[str]:
        pieces = [""]
        for letter in word:
            if pieces[-1] and self.width(pieces[-1] + letter) > width:
                pieces.append("")
            pieces[-1] += letter
        return pieces

    def _parts(self, text: str) -> Sequence[tuple[ImageFont.FreeTypeFont, str]]:
        text = printable(text)
        if max(text, default="") < COVERED:
            return [(self.plain, text)]
        parts = itertools.groupby(text, lambda letter: _font_for(letter, self.bold))
        return [(_opened(font, self.size), "".join(part)) for font, part in parts]


@cache
def _font_for(letter: str, bold: bool) -> Path:
    plain = dejavu(bold)
    return next((font for font in (plain, *wider_fonts()) if ord(letter) in letters_of(font)), plain)


@cache
def _opened(font: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font, size)
