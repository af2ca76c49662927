"""Numbers, tables, sentences and the page around them."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from secondread.pages import document, style, tables
from secondread.pages.blocks import Banner, Browser, Finding, Findings, Heading, Report, Section, Tabled, Tile
from secondread.pages.numbers import Number, count, metric_word, shown
from secondread.pages.sentences import Sentence, Setting, listed
from secondread.pages.tables import Interval, Name, Table, Verdict, Whisker

EVIL = '"><script>alert(1)</script><img src=x onerror=alert(2)>&{{ 7*7 }}'


@pytest.mark.parametrize(
    ("value", "options", "text"),
    [
        (0.9123, {}, "0.912"),
        (-0.0312, {"signed": True}, "−0.031"),
        (0.05, {"signed": True}, "+0.050"),
        (-0.0001, {"signed": True}, "0.000"),
        (0.0001, {"kind": "p"}, "< 0.001"),
        (math.nan, {}, "–"),
        (math.inf, {}, "∞"),
        (12345.0, {"kind": "count"}, "12\u202f345"),
    ],
)
def test_numbers_are_shown_as_a_reader_wants(value: float, options: dict[str, object], text: str) -> None:
    assert shown(value, **options) == text  # type: ignore[arg-type]


@given(st.floats(-1e6, 1e6, allow_nan=False))
@settings(max_examples=50, derandomize=True)
def test_a_number_keeps_its_exact_value(value: float) -> None:
    html = document.number(Number(value))
    found = re.fullmatch(r'<data value="([^"]+)">[^<]+</data>', html)
    assert found
    assert float(found.group(1)) == value


def test_metrics_inside_a_sentence() -> None:
    assert [metric_word(name) for name in ("auroc", "log_loss", "f1", "recall")] == [
        "AUROC",
        "log loss",
        "F1",
        "sensitivity",
    ]


def some_table() -> Table:
    value = Interval(Number(0.5), Number(0.4), Number(0.6))
    row: list[tables.Cell] = [
        Name("a_b & 50% <x> | y"),
        value,
        Whisker(0.5, 0.4, 0.6, 0, 1),
        Verdict("better"),
        count(1200),
    ]
    return Table("table-x", "A caption: 100 %", ["Arm", "AUROC", "", "Verdict", "n"], [row], "A note_.")


def test_latex_escapes_what_latex_would_read() -> None:
    written = tables.latex(some_table())
    assert r"a\_b \& 50\% $<$x$>$ | y" in written
    assert r"\begin{tabular}{lrlr}" in written
    assert r"0.500 (0.400 to 0.600) & better & 1\,200 \\" in written
    assert written.count("{") == written.count("}")


def test_markdown_escapes_what_markdown_would_read() -> None:
    written = tables.markdown(some_table())
    line = next(line for line in written.splitlines() if "0.500" in line)
    assert line == r"| a\_b & 50% \<x\> \| y | 0.500 (0.400 to 0.600) | better | 1" + "\u202f200 |"


def test_a_sentence_is_the_same_in_text_and_html() -> None:
    said = Sentence("Picked.", ["On test ", Number(0.9), " (", Setting("95 %"), ") with ", Name(EVIL), "."])
    assert str(said).startswith("Picked. On test 0.900 (95 %) with ")
    assert "<script" not in said.html
    assert '<data value="0.9">0.900</data>' in said.html


def test_lists_in_words() -> None:
    assert "".join(map(str, listed(["a", "b", "c"]))) == "a, b and c"
    assert listed(["a"]) == ["a"]


class Reader(HTMLParser):
    """Collects the elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def hostile_page() -> str:
    case = {"id": EVIL, "true": [0], "unknown": [], "read": [1], "p": [0.4, None], "ok": False, "sure": 0.4}
    browser = Browser(EVIL, {"classes": [EVIL, "b"], "exclusive": True, "cases": [case | {"image": None}]})
    table = Table("table-x", EVIL, [EVIL, ""], [[Name(EVIL), EVIL]], EVIL)
    finding = Findings([Finding("error", "x", EVIL, [EVIL])])
    report = Report(
        EVIL, EVIL, [(EVIL, Name(EVIL))], [Banner(EVIL, EVIL)], [Sentence(EVIL, [Name(EVIL), EVIL])],
        [Tile(EVIL, Interval(Number(0.5), Number(0.1), Number(0.9)), True, Name(EVIL))],
        [Section("x", EVIL, [Heading(EVIL), Tabled(table), finding, browser])], EVIL,
    )  # fmt: skip
    return document.render("report.html.j2", report=report)


def test_hostile_names_stay_words() -> None:
    page = hostile_page()
    reader = Reader()
    reader.feed(page)
    assert [tag for tag, _ in reader.seen].count("script") == 2
    assert "img" not in [tag for tag, _ in reader.seen]
    assert not [name for _, attributes in reader.seen for name in attributes if name.startswith("on")]
    assert "49" not in page.replace(document.text_of("report.css"), "")
    data = re.search(r'<script type="application/json" id="case-data">(.*?)</script>', page, re.DOTALL)
    assert data
    assert json.loads(data.group(1))["cases"][0]["id"] == EVIL


def test_the_policy_names_exactly_our_style_and_script() -> None:
    page = hostile_page()
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    for element in ("style", "script"):
        inline = re.search(rf"<{element}>(.*?)</{element}>", page, re.DOTALL)
        assert inline
        digest = base64.b64encode(hashlib.sha256(inline.group(1).encode()).digest()).decode()
        assert f"sha256-{digest}" in policy.group(1).replace("&#39;", "'")
    assert "default-src" in policy.group(1)


def test_nothing_in_the_page_asks_another_place() -> None:
    reader = Reader()
    reader.feed(hostile_page())
    for _, attributes in reader.seen:
        for name in ("src", "href", "action", "data"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:", "#"))


def test_a_figure_follows_the_reader_into_dark_mode() -> None:
    svg = '<svg><defs></defs><path style="fill: #ffffff"/><path style="fill: #1c2126; stroke: #d5dade"/></svg>'
    adapted = document.follow_mode(svg)
    assert "prefers-color-scheme: dark" in adapted
    assert "fill: #1c2126" not in adapted
    assert "fill: none" in adapted


def test_paper_is_never_dark() -> None:
    """What is printed from a dark screen would be pale letters on white."""
    sheets = document.text_of("report.css"), document.follow_mode("<svg><defs></defs></svg>")
    for sheet in sheets:
        assert re.findall(r"@media ([^{]*)\(prefers-color-scheme: dark", sheet) == ["screen and "]


def test_lines_of_figures_are_seen_on_the_dark_page() -> None:
    """Three to one, as WCAG asks of what carries meaning."""

    def light(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return float(np.dot([0.2126, 0.7152, 0.0722], linear))

    ground = re.search(r"dark\).*?--card: (#\w+)", document.text_of("report.css"), re.DOTALL)
    assert ground
    for colour in style.COLOURS:
        assert (light(document.DARK.get(colour, colour)) + 0.05) / (light(ground.group(1)) + 0.05) >= 3
