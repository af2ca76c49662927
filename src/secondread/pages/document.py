"""Self-contained HTML: templates with autoescape, figures embedded, no request to anywhere, only our own script."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib import resources
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from secondread.pages.numbers import Number, metric_title, shown
from secondread.pages.style import FAINT, INK, PAPER, SOFT
from secondread.pages.tables import Cell, Interval, Name, Verdict, Whisker

HEAVY = 300_000
"""An SVG above this many bytes is embedded as PNG."""
SHORT = 28
"""A name up to this length is not broken over lines in a table."""
DARK = {INK: "#e4e7ea", SOFT: "#9aa4ad", FAINT: "#3a434b", "#4d565e": "#a9b3bb", "#1b1b1b": "#1b1b1b",
        "#0072b2": "#3f9fdc", "#8c6d31": "#b8934c", "#5b4a9e": "#9a8ae0", "#d55e00": "#e8762c"}  # fmt: skip


def render(template: str, **context: Any) -> str:
    """The page: its one style sheet and one script are inside and named by their hash in its security policy."""
    style, script = text_of("report.css"), text_of("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    shell = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return _environment().get_template(template).render(**shell, **context)


@cache
def text_of(name: str) -> str:
    return resources.files("secondread.pages.templates").joinpath(name).read_text(encoding="utf8")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FunctionLoader(text_of), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    made.filters |= {"number": number, "cell": cell, "metric": metric_title, "shown": shown, "json": script_json}
    made.filters |= {"headline": headline, "range": bounds}
    made.tests |= {"whisker": lambda c: isinstance(c, Whisker), "numeric": lambda c: isinstance(c, Number | Interval)}
    return made


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def number(value: Number) -> Markup:
    """`<data value="exact">text</data>`: the reader sees the rounded value, a program the exact one."""
    return Markup('<data value="{}">{}</data>').format(value.exact, value.text)


def cell(content: Cell) -> Markup:
    """One table cell's content; names are marked as such, so that digits in them are no numbers."""
    if content is None:
        return Markup("")
    if isinstance(content, Number):
        return number(content)
    if isinstance(content, Interval):
        if not content.bounded:
            return number(content.value)
        return Markup('{}<span class="ci">{} to {}</span>').format(
            number(content.value), number(content.low), number(content.high)
        )
    if isinstance(content, Name):
        kind = "name" if len(content.text) > SHORT else "name short"
        return Markup('<span class="{}">{}</span>').format(kind, content.text)
    if isinstance(content, Verdict):
        kind = content.text.split(" ")[0]
        return Markup('<span class="verdict {}"><i aria-hidden="true">{}</i> {}</span>').format(
            kind, content.mark, content.text
        )
    if isinstance(content, Whisker):
        return _whisker(content)
    return Markup("{}").format(content)


def headline(content: Cell) -> Markup:
    """A tile's value without its interval."""
    return number(content.value) if isinstance(content, Interval) else cell(content)


def bounds(content: Cell) -> Markup:
    """A tile's interval, on a line of its own."""
    if not isinstance(content, Interval) or not content.bounded:
        return Markup("")
    return Markup('<span class="ci">{} to {}</span>').format(number(content.low), number(content.high))


def _whisker(w: Whisker) -> Markup:
    if not w.drawable:
        return Markup("")
    zero = Markup("") if w.zero is None else Markup('<line class="zero" x1="{0}" x2="{0}" y1="0" y2="16"/>').format(
        w.at(w.zero)
    )  # fmt: skip
    return Markup(
        '<svg class="whisker" viewBox="-2 0 104 16" preserveAspectRatio="none" aria-hidden="true">{}'
        '<line class="span" x1="{}" x2="{}" y1="8" y2="8"/><line class="dot" x1="{}" x2="{}" y1="4" y2="12"/></svg>'
    ).format(zero, w.at(w.low), w.at(w.high), w.at(w.value), w.at(w.value))


def script_json(content: Any) -> Markup:
    """JSON that may stand inside a script element whatever the names in it."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def embedded(svg: bytes, png: bytes) -> str:
    """A data URL of the figure: an SVG that follows the reader's light or dark mode, or a PNG where that is smaller."""
    adapted = follow_mode(svg.decode())
    if len(adapted) > HEAVY or "<image" in adapted:
        return data_url(png, "image/png")
    return data_url(adapted.encode(), "image/svg+xml")


def follow_mode(svg: str) -> str:
    """Replace the style's ink, grid and background by variables that a media query turns over in dark mode."""
    names = {colour: f"--c{i}" for i, colour in enumerate(DARK)}
    for colour, name in names.items():
        svg = svg.replace(f"fill: {colour}", f"fill: var({name})").replace(f"stroke: {colour}", f"stroke: var({name})")
    svg = svg.replace(f"fill: {PAPER}", "fill: none", 1)
    light = "".join(f"{name}:{colour};" for colour, name in names.items())
    dark = "".join(f"{names[colour]}:{other};" for colour, other in DARK.items())
    sheet = f"<style>:root{{{light}}}@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}</style>"
    start = svg.index("<defs>")
    return svg[:start] + sheet + svg[start:]


def data_url(content: bytes, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
