"""Chromium walks through the site: sign-up, upload, result, history, deletion, keys, and not one complaint."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_pictures import disc, png

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not os.access(CHROMIUM, os.X_OK), reason="Chromium is not installed"),
]
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", "--no-first-run"]  # fmt: skip
FAULTS = Path(__file__).with_name("accessible.js").read_text()
PASSWORD = "a long enough Pass 1"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class Visitor:
    """A person at a browser, and everything the browser complained about or asked other hosts for."""

    def __init__(self, browser: Any, site: Any, name: str, **device: Any) -> None:
        self.context = browser.new_context(**device)
        self.page = self.context.new_page()
        self.site, self.name = site, name
        self.complaints: list[str] = []
        self.strangers: list[str] = []
        self.page.on("console", lambda told: self.complaints.append(told.text) if told.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._watch)

    def _watch(self, request: Any) -> None:
        if not request.url.startswith((self.site.address, "data:", "blob:")):
            self.strangers.append(request.url)

    def sign_up(self) -> None:
        self.page.goto(f"{self.site.address}/")
        self.page.click("text=Create an account")
        self.page.fill("[name=username]", self.name)
        self.page.fill("[name=password1]", PASSWORD)
        self.page.fill("[name=password2]", PASSWORD)
        self.page.click("main button[type=submit]")
        self.page.wait_for_url("**/read/")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "disc.png"
    path.write_bytes(png(disc(256)))
    return path


def test_from_sign_up_to_deletion(chromium: Any, running_site: Any, image: Path) -> None:
    visitor = Visitor(chromium, running_site, "walker", viewport={"width": 1366, "height": 768})
    page = visitor.page
    visitor.sign_up()
    page.set_input_files("#image", image)
    page.wait_for_url("**/reads/*/")
    assert page.inner_text("h1").lower() in ("normal", "pneumonia") or "Uncertain" in page.inner_text("h1")
    page.wait_for_selector(".loading", state="detached")
    assert len(colours(page)) > 50
    plain = colours(page, whole=True)
    page.keyboard.press("i")
    page.wait_for_function("document.querySelector('[data-do=invert]').ariaPressed === 'true'")
    settle(page)
    assert colours(page, whole=True) != plain
    page.keyboard.press("i")
    page.keyboard.press("h")
    page.wait_for_selector(".legend:not([hidden])")
    settle(page)
    assert any(red != green for red, green, _ in colours(page))
    assert "not lesion borders" in page.inner_text(".legend")
    page.click("text=Agree")
    page.click(".feedback button")
    assert "opinion is kept" in page.inner_text(".messages")
    page.click("nav >> text=History")
    assert page.locator(".tile").count() == 1
    page.fill("[name=q]", "nothing like it")
    page.click(".filters button")
    page.wait_for_url("**/reads/?*q=nothing*")
    assert "Nothing matches" in page.inner_text("main")
    page.click("text=Show everything")
    page.click(".tile a")
    page.wait_for_url("**/reads/*-*/")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("text=Delete")
    page.wait_for_url("**/reads/")
    assert "Nothing has been read yet" in page.inner_text("main")
    page.click("summary")
    page.click("text=Log out")
    page.wait_for_url(f"{running_site.address}/")
    assert (visitor.complaints, visitor.strangers) == ([], [])


def test_the_viewer_works_by_keys_and_single_letters_can_be_switched_off(
    chromium: Any, running_site: Any, image: Path
) -> None:
    """WCAG 2.1.1: what dragging does, keys do; 2.1.4: who dictates must not press keys by speaking."""
    visitor = Visitor(chromium, running_site, "typist", timezone_id="Asia/Tokyo")
    page = visitor.page
    visitor.sign_up()
    page.set_input_files("#image", image)
    page.wait_for_url("**/reads/*/")
    page.wait_for_selector(".loading", state="detached")
    page.focus("canvas")
    plain = colours(page, whole=True)
    for _ in range(9):
        page.keyboard.press("Shift+ArrowDown")
    assert page.input_value("[data-do=window]") == "hand"
    assert colours(page, whole=True) != plain
    page.keyboard.press("?")
    page.uncheck("[data-do=everywhere]")
    page.keyboard.press("Escape")
    page.reload()
    page.wait_for_selector(".loading", state="detached")
    pressed = "document.querySelector('[data-do=invert]').ariaPressed"
    page.keyboard.press("i")
    assert page.evaluate(pressed) == "false"
    page.focus("canvas")
    page.keyboard.press("i")
    assert page.evaluate(pressed) == "true"
    page.goto(f"{running_site.address}/reads/")
    assert page.input_value("[name=zone]") == "Asia/Tokyo"
    assert visitor.complaints == []


def test_nothing_has_to_be_dragged(chromium: Any, running_site: Any, image: Path) -> None:
    """WCAG 2.5.7: what dragging does, single taps do, on a touch screen too."""
    visitor = Visitor(chromium, running_site, "tapper", viewport={"width": 390, "height": 844}, has_touch=True)
    page = visitor.page
    visitor.sign_up()
    page.set_input_files("#image", image)
    page.wait_for_url("**/reads/*/")
    page.wait_for_selector(".loading", state="detached")

    def mean() -> float:
        row = colours(page, whole=True)
        return sum(grey for grey, *_ in row) / len(row)

    def spread() -> int:
        row = [grey for grey, *_ in colours(page, whole=True)]
        return max(row) - min(row)

    def tap(name: str) -> None:
        page.tap(f".tools [data-do={name}]")

    for turned in (False, True):  # brighter is brighter, inverted or not
        if turned:
            tap("invert")
        plain = mean()
        tap("brighter")
        assert mean() > plain
        tap("darker")
        tap("darker")
        assert mean() < plain
        tap("brighter")
    plain = spread()
    for _ in range(3):
        tap("flatter")
    flat = spread()
    assert flat < plain
    tap("steeper")
    assert spread() > flat
    before = colours(page, whole=True)
    tap("left")
    assert colours(page, whole=True)[40:] == before[:-40]
    tap("right")
    assert colours(page, whole=True) == before
    tap("up")
    assert colours(page, whole=True) != before
    tap("down")
    assert colours(page, whole=True) == before
    tap("help")
    assert "Nothing has to be dragged" in page.inner_text(".keys")
    assert visitor.complaints == []


def test_without_script_the_image_is_shown_and_nothing_pretends_to_work(
    chromium: Any, running_site: Any, image: Path
) -> None:
    visitor = Visitor(chromium, running_site, "plainly", java_script_enabled=False)
    page = visitor.page
    visitor.sign_up()
    page.set_input_files("#image", image)
    page.click("#send")
    page.wait_for_url("**/reads/*/")
    assert "The viewer needs JavaScript" in page.inner_text(".viewer")
    assert "Loading" not in page.inner_text(".viewer")
    assert page.locator(".viewer button:visible, #theme:visible").count() == 0
    shown = page.locator(".viewer img").screenshot()
    assert len(shown) > 5000  # noise, not a broken picture
    assert "UTC" in page.inner_text(".facts time")


def test_dropping_pasting_and_bad_files(chromium: Any, running_site: Any, image: Path, tmp_path: Path) -> None:
    visitor = Visitor(chromium, running_site, "dropper")
    page = visitor.page
    visitor.sign_up()
    page.evaluate(
        """async (bytes) => {
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
            document.getElementById("drop").dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true }));
        }""",
        list(image.read_bytes()),
    )
    page.wait_for_url("**/reads/*/")
    page.goto(f"{running_site.address}/read/")
    bad = tmp_path / "notes.txt"
    bad.write_text("no image")
    page.set_input_files("#image", [image, bad])
    page.wait_for_selector(".progress .bad")
    assert "not a PNG, JPEG" in page.inner_text(".progress .bad")
    assert page.locator(".progress .good a").count() == 1
    assert visitor.strangers == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1366, 768), (390, 844)])
def test_every_page_fits_and_can_be_read(
    chromium: Any, running_site: Any, image: Path, scheme: str, size: tuple[int, int]
) -> None:
    """No sideways scrolling, nothing that lies over another thing or out of its box however long its name, names on
    every control, contrast of text at least 4.5 to 1 (WCAG AA)."""
    visitor = Visitor(chromium, running_site, f"reader{scheme}{size[0]}", color_scheme=scheme,
                      viewport={"width": size[0], "height": size[1]})  # fmt: skip
    page = visitor.page
    visitor.sign_up()
    page.set_input_files("#image", image)
    page.wait_for_url("**/reads/*/")
    read = page.url
    page.click("text=Read again")
    page.wait_for_url(lambda url: "/reads/" in url and url != read)
    wordy = page.url
    page.goto(f"{running_site.address}/models/")
    page.click("main .card >> nth=1 >> a")
    model = page.url
    addresses = (
        "/",
        "/read/",
        "/reads/",
        "/models/",
        "/account/",
        "/about/",
        "/accounts/2fa/",
        "/accounts/password/change/",
    )
    for address in (*(running_site.address + path for path in addresses), read, wordy, model):
        page.goto(address)
        faults = page.evaluate(FAULTS)
        assert faults == [], (address, faults)
    visitor.context.clear_cookies()
    for path in ("/", "/accounts/login/", "/accounts/signup/", "/nothing/here"):
        page.goto(running_site.address + path)
        assert page.evaluate(FAULTS) == [], path
    assert [told for told in visitor.complaints if "404" not in told] == []


def test_a_page_that_waits_notices_that_somebody_logged_out(chromium: Any, running_site: Any, image: Path) -> None:
    """In another tab, or after an hour; it asked on for ever."""
    visitor = Visitor(chromium, running_site, "waiter")
    page = visitor.page
    visitor.sign_up()
    page.set_input_files("#image", image)
    page.wait_for_url("**/reads/*/")
    read = page.url.split("/")[-2].replace("-", "")
    with sqlite3.connect(running_site.folder / "secondread.sqlite3") as site:
        later = "UPDATE reads_read SET state = 'running', worker = 'x', lease_until = '2999-01-01' WHERE id = ?"
        assert site.execute(later, (read,)).rowcount == 1
    page.reload()
    visitor.context.clear_cookies()
    page.evaluate("() => { ask(700); }")
    page.wait_for_url(lambda url: "/accounts/login/" in url)
    with sqlite3.connect(running_site.folder / "secondread.sqlite3") as site:
        site.execute("DELETE FROM reads_read WHERE id = ?", (read,))


def test_choices_are_seen_where_the_system_chooses_the_colours(chromium: Any, running_site: Any, image: Path) -> None:
    """High contrast of Windows takes grounds away, by which alone a chosen opinion differed."""
    visitor = Visitor(chromium, running_site, "contrasted", forced_colors="active")
    page = visitor.page
    visitor.sign_up()
    page.set_input_files("#image", image)
    page.wait_for_url("**/reads/*/")
    page.wait_for_selector(".loading", state="detached")
    page.click("text=Agree")
    page.click("[data-do=invert]")
    ground = "selector => getComputedStyle(document.querySelector(selector)).backgroundColor"
    for on, off in (
        (".seg :checked + span", ".seg :not(:checked) + span"),
        ("[data-do=invert]", "[data-do=fit]"),
        (".top nav [aria-current]", ".top nav a:not([aria-current])"),
    ):
        assert page.evaluate(ground, on) != page.evaluate(ground, off), on


@pytest.mark.parametrize("width", [360, 1280])
def test_no_name_pushes_an_operators_columns_away(chromium: Any, running_site: Any, width: int) -> None:
    """Anybody can sign up with a name of 150 letters; the buttons beside it must stay in reach."""
    long, visitor = (
        "x" * 150,
        Visitor(chromium, running_site, f"operator{width}", viewport={"width": width, "height": 800}),
    )
    visitor.sign_up()
    with sqlite3.connect(running_site.folder / "secondread.sqlite3") as site:
        site.execute("UPDATE accounts_user SET is_staff = 1 WHERE username = ?", (visitor.name,))
        site.execute(
            "INSERT OR IGNORE INTO accounts_user (username, password, is_superuser, first_name, last_name, email,"
            " is_staff, is_active, date_joined, keep_names, stored_bytes, accepted)"
            " VALUES (?, '', 0, '', '', '', 0, 1, '2026-01-01', 0, 0, '')",
            (long,),
        )
    page = visitor.page
    for address in ("", "users", "bundles", "reads", "audit"):
        page.goto(f"{running_site.address}/operate/{address}")
        assert page.evaluate(FAULTS) == [], address
    page.goto(f"{running_site.address}/operate/users?q={long}")
    name = page.locator("tbody .long").bounding_box()
    assert name is not None
    assert 100 < name["width"] < 230


@pytest.mark.parametrize("chosen", ["auto", "dark"])
def test_paper_is_never_dark(chromium: Any, running_site: Any, chosen: str) -> None:
    """What is printed from a dark screen would be pale letters on white."""
    page = chromium.new_page(color_scheme="dark")
    page.goto(f"{running_site.address}/")
    page.evaluate("chosen => { if (chosen !== 'auto') document.documentElement.dataset.theme = chosen; }", chosen)
    ink = "getComputedStyle(document.body).color"
    assert page.evaluate(ink) == "rgb(232, 239, 243)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(ink) == "rgb(20, 33, 42)"
    page.close()


def settle(page: Any) -> None:
    page.evaluate("() => new Promise(go => requestAnimationFrame(() => requestAnimationFrame(go)))")


def colours(page: Any, whole: bool = False) -> Any:
    """Colours on the canvas; with `whole` every pixel of a row."""
    settle(page)
    found = page.evaluate(
        """() => { const c = document.querySelector("canvas");
            return [...c.getContext("2d").getImageData(0, Math.floor(c.height / 2), c.width, 1).data]; }"""
    )
    row = [tuple(found[at : at + 3]) for at in range(0, len(found), 4)]
    return row if whole else set(row)
