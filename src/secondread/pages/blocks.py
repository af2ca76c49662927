"""What a report is made of: sections of blocks. A block knows its kind; the template knows how each kind looks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from secondread.pages.numbers import Number
from secondread.pages.sentences import Sentence
from secondread.pages.tables import Cell, Name, Table


@dataclass(frozen=True)
class Words:
    """A paragraph; `small` for what is said beside the matter."""

    kind: ClassVar[str] = "words"
    sentence: Sentence
    small: bool = False


@dataclass(frozen=True)
class Heading:
    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Shown:
    """A figure with its number's worth of words."""

    kind: ClassVar[str] = "figure"
    name: str
    title: str
    caption: str
    source: str
    """Data URL."""
    raster: bool = False
    width: int = 0
    """In CSS pixels; 0: as wide as the file says."""


@dataclass(frozen=True)
class Tabled:
    kind: ClassVar[str] = "table"
    table: Table
    marked: int | None = None
    """Index of the row that is the picked one."""


@dataclass(frozen=True)
class Finding:
    level: str
    code: str
    message: str
    files: Sequence[str] = ()
    more: int = 0
    """How many files are not named."""


@dataclass(frozen=True)
class Findings:
    kind: ClassVar[str] = "findings"
    found: Sequence[Finding]


@dataclass(frozen=True)
class Folded:
    """Blocks behind a line that opens them; open on paper."""

    kind: ClassVar[str] = "folded"
    title: str
    blocks: Sequence[Block]


SHORT_TABLE = 8


def short_or_folded(table: Table) -> Block:
    """The table; folded away under its caption when it has more than eight rows."""
    shown = Tabled(table)
    return shown if len(table.rows) <= SHORT_TABLE else Folded(table.caption, [shown])


@dataclass(frozen=True)
class Browser:
    """The per-case browser; not on paper. `data`: classes, exclusive, cases (id, true, unknown, read, p, ok, sure,
    image)."""

    kind: ClassVar[str] = "browser"
    title: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Paste:
    """Text to be copied."""

    kind: ClassVar[str] = "paste"
    text: str


@dataclass(frozen=True)
class Code:
    kind: ClassVar[str] = "code"
    text: str


Block = Words | Heading | Shown | Tabled | Findings | Folded | Browser | Paste | Code


@dataclass(frozen=True)
class Section:
    anchor: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Banner:
    """A warning over everything; `stop` for what makes the numbers unfit to be compared with others."""

    title: str
    text: str
    stop: bool = True


@dataclass(frozen=True)
class Tile:
    what: str
    value: Cell
    wide: bool = False
    name: Name | None = None


@dataclass(frozen=True)
class Report:
    title: str
    about: str
    facts: Sequence[tuple[str, str | Number | Name]]
    banners: Sequence[Banner]
    sentences: Sequence[Sentence]
    tiles: Sequence[Tile]
    sections: Sequence[Section] = field(default_factory=tuple)
    footer: str = ""
    kind: str = "Evaluation report"
    """What the page is, over its title."""
