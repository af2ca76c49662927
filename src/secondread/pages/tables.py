"""Tables of words and numbers that can be shown as HTML, LaTeX and Markdown alike."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from secondread.pages.numbers import Number


@dataclass(frozen=True)
class Name:
    """A name from the study: of an arm, a model, a class, a file."""

    text: str


@dataclass(frozen=True)
class Interval:
    """A value with its interval."""

    value: Number
    low: Number
    high: Number

    @property
    def bounded(self) -> bool:
        return not (math.isnan(self.low.value) or math.isnan(self.high.value))


@dataclass(frozen=True)
class Whisker:
    """The interval as a small drawing on the scale left … right; `zero` is the line of no difference."""

    value: float
    low: float
    high: float
    left: float
    right: float
    zero: float | None = None

    def at(self, value: float) -> float:
        """Where a value lies on a scale of 0 to 100."""
        span = (self.right - self.left) or 1.0
        return round(100 * min(max((value - self.left) / span, 0.0), 1.0), 2)

    @property
    def drawable(self) -> bool:
        return all(math.isfinite(v) for v in (self.value, self.low, self.high))


@dataclass(frozen=True)
class Verdict:
    """better, worse, no difference shown, too few cases."""

    text: str

    @property
    def mark(self) -> str:
        return {"better": "▲", "worse": "▼", "no difference shown": "·", "too few cases": "…"}.get(self.text, "")


Cell = str | Name | Number | Interval | Whisker | Verdict | None


@dataclass(frozen=True)
class Table:
    """Columns by title; rows as long as the columns. `note` stands under the table."""

    name: str
    caption: str
    columns: Sequence[str]
    rows: list[list[Cell]] = field(default_factory=list)
    note: str = ""
    result: bool = True
    """Its numbers are rows of scores.csv or comparisons.csv."""

    def sort_key(self, cell: Cell) -> str:
        """What the column is sorted by: the number where there is one."""
        if isinstance(cell, Interval):
            return cell.value.exact
        if isinstance(cell, Number):
            return cell.exact
        if isinstance(cell, Whisker):
            return repr(cell.value)
        return plain(cell).lower()


def plain(cell: Cell) -> str:
    """The cell as text of one line."""
    if cell is None or isinstance(cell, Whisker):
        return ""
    if isinstance(cell, Interval):
        return f"{cell.value.text} ({cell.low.text} to {cell.high.text})" if cell.bounded else cell.value.text
    return cell if isinstance(cell, str) else cell.text


def markdown(table: Table) -> str:
    """GitHub's tables; a `|` in a name is escaped."""
    columns, rows = _without_drawings(table)
    lines = [f"**{_md(table.caption)}**", "", "| " + " | ".join(_md(name) for name in columns) + " |"]
    lines.append("|" + "---|" * len(columns))
    lines += ["| " + " | ".join(_md(plain(cell)) for cell in row) + " |" for row in rows]
    return "\n".join([*lines, "", _md(table.note), ""] if table.note else [*lines, ""])


def latex(table: Table) -> str:
    """A `table` for the package booktabs."""
    columns, rows = _without_drawings(table)
    kinds = ["l" if _is_text(rows, i) else "r" for i in range(len(columns))]
    lines = [
        r"\begin{table}", r"\centering", rf"\caption{{{_tex(table.caption)}}}",
        rf"\label{{tab:{re.sub('[^a-z0-9]+', '-', table.name.lower())}}}", rf"\begin{{tabular}}{{{''.join(kinds)}}}",
        r"\toprule", " & ".join(_tex(name) for name in columns) + r" \\", r"\midrule",
    ]  # fmt: skip
    lines += [" & ".join(_tex(plain(cell)) for cell in row) + r" \\" for row in rows]
    note = [rf"\par\smallskip\footnotesize {_tex(table.note)}"] if table.note else []
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *note, r"\end{table}", ""])


def _without_drawings(table: Table) -> tuple[list[str], list[list[Cell]]]:
    keep = [i for i in range(len(table.columns)) if not any(isinstance(row[i], Whisker) for row in table.rows)]
    return [table.columns[i] for i in keep], [[row[i] for i in keep] for row in table.rows]


def _is_text(rows: list[list[Cell]], column: int) -> bool:
    return any(isinstance(row[column], str | Name | Verdict) for row in rows)


def _one_line(text: str) -> str:
    return re.sub(r"[ \t\r\n]+", " ", text)


def _md(text: str) -> str:
    flat = _one_line(text)
    return re.sub(r"([\\`*_{}\[\]<>#|])", r"\\\1", flat)


TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "−": "$-$", "–": "--", "\u202f": r"\,", "<": "$<$",
    ">": "$>$", "±": r"$\pm$", "Δ": r"$\Delta$", "∞": r"$\infty$", "≥": r"$\ge$",
}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(TEX.get(char, char) for char in _one_line(text))
