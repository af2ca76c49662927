"""Sentences whose numbers and names stay marked: as plain text for a file, as HTML for a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from secondread.pages.document import cell
from secondread.pages.numbers import Number
from secondread.pages.tables import Name

Piece = str | Number | Name


@dataclass(frozen=True)
class Setting:
    """A number that the study file gives, such as the confidence level: no result, hence in no table of results."""

    text: str


@dataclass(frozen=True)
class Sentence:
    """A lead-in (bold on a page) and the pieces of the sentence."""

    lead: str
    pieces: Sequence[Piece | Setting]
    tone: str = "plain"
    """plain, good or warning."""

    def __str__(self) -> str:
        return f"{self.lead} {self.text}".strip()

    @property
    def text(self) -> str:
        return "".join(piece if isinstance(piece, str) else piece.text for piece in self.pieces)

    @property
    def html(self) -> Markup:
        return Markup("").join(_html(piece) for piece in self.pieces)


def _html(piece: Piece | Setting) -> Markup:
    if isinstance(piece, Setting):
        return Markup('<span class="setting">{}</span>').format(piece.text)
    return cell(piece)


def listed(pieces: Iterable[Piece], last: str = "and") -> list[Piece]:
    """`a, b and c`."""
    found = list(pieces)
    woven: list[Piece] = []
    for i, piece in enumerate(found):
        if i:
            woven.append(f" {last} " if i == len(found) - 1 else ", ")
        woven.append(piece)
    return woven
