"""Tables of a page are sorted as a reader expects: numbers as numbers, names as names, what is missing last."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from secondread.pages.blocks import Report, Section, Tabled
from secondread.pages.document import render
from secondread.pages.numbers import Number
from secondread.pages.tables import Name, Table

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
