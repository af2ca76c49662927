"""Tables of a page are sorted as a reader expects: numbers as numbers, names as names, what is missing last."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from secondread.pages.blocks import Browser, Report, Section, Tabled
from secondread.pages.document import render
from secondread.pages.numbers import Number
from secondread.pages.tables import Cell, Name, Table, Whisker

CHROMIUM = Path("/usr/bin/chromium")
ROWS = [("net10", 0.5), ("64", math.nan), ("net9", 0.25), ("3dcnn", -0.5), ("plain", math.inf)]
NAMES = ["3dcnn", "64", "net9", "net10", "plain"]
VALUES = ["3dcnn", "net9", "net10", "plain"]


@pytest.mark.browser
def test_columns_are_sorted_both_ways(tmp_path: Path) -> None:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    table = Table("t", "Scores", ["Model", "Value"], [[Name(name), Number(value)] for name, value in ROWS])
    report = Report("A", "", [], [], [], [], [Section("s", "S", [Tabled(table)])])
    (tmp_path / "page.html").write_text(render("report.html.j2", report=report), encoding="utf8")
    found = []
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto((tmp_path / "page.html").as_uri())
        for column in (0, 0, 1, 1):
            page.locator("th").nth(column).press("Enter")
            found.append(
                page.evaluate("Array.from(document.querySelectorAll('tbody tr'), row => row.cells[0].innerText)")
            )
        browser.close()
    assert found == [NAMES, NAMES[::-1], [*VALUES, "64"], [*VALUES[::-1], "64"]]


def test_rows_and_columns_have_names_for_readers_that_speak_them() -> None:
    rows: list[list[Cell]] = [[Name("a"), Number(0.5), Whisker(0.5, 0.4, 0.6, 0, 1)]]
    table = Table("t", "Scores", ["Model", "Value", ""], rows)
    page = render("report.html.j2", report=Report("A", "", [], [], [], [], [Section("s", "S", [Tabled(table)])]))
    assert re.findall(r"<th [^>]*>([^<]*)</th>", page) == ["Model", "Value"]  # a drawing has no heading to speak
    assert re.findall(r'<td role="rowheader" data-key="(\w+)"', page) == ["a"]


@pytest.mark.browser
def test_long_names_of_classes_do_not_widen_a_narrow_page(tmp_path: Path) -> None:
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    names = ["Normal lungs without any finding at all", "Viral pneumonia, bilateral and interstitial, not Covid-19"]
    browsed = Browser("Every case", {"classes": names, "exclusive": True, "cases": []})
    report = Report("A", "", [], [], [], [], [Section("s", "S", [browsed])])
    (tmp_path / "page.html").write_text(render("report.html.j2", report=report), encoding="utf8")
    with sync_playwright() as player:
        browser = player.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 360, "height": 700})
        page.goto((tmp_path / "page.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        browser.close()
