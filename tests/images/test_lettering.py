"""What is written on pictures can be read."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from secondread.core.errors import WrongRequest
from secondread.images.lettering import dejavu, letters, letters_of, wider_fonts

UNKNOWN = "\U000f0000"


def drawn(text: str) -> NDArray[np.uint8]:
    page = Image.new("L", (400, 40), 0)
    letters(14).draw(ImageDraw.Draw(page), 4, 4, text, 255)
    return np.asarray(page)


@pytest.mark.parametrize("letter", [*"×–…°µéüßØПневмония"])
def test_letters_beyond_ascii_are_no_empty_boxes(letter: str) -> None:
    assert drawn(letter).any()
    assert not np.array_equal(drawn(letter), drawn(UNKNOWN))


@pytest.mark.parametrize("text", ["正常", "肺炎 (87 %)"])
def test_what_dejavu_lacks_comes_from_a_font_of_the_machine(text: str) -> None:
    if not any(ord("正") in letters_of(font) and ord("炎") in letters_of(font) for font in wider_fonts()):
        pytest.skip("this machine has no font with Chinese letters")
    boxes = "".join(UNKNOWN if letter > "\u3000" else letter for letter in text)
    assert not np.array_equal(drawn(text), drawn(boxes))
    assert len({drawn(letter).tobytes() for letter in text}) == len(set(text))


def test_without_matplotlib_the_systems_font_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the container."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # how Python is told that there is none
    try:
        system = ImageFont.truetype("DejaVuSans.ttf").path
    except OSError:
        with pytest.raises(WrongRequest, match="DejaVu"):
            dejavu.__wrapped__()
    else:
        assert str(dejavu.__wrapped__()) == system


def test_a_line_stands_where_it_is_asked_for() -> None:
    rows, columns = np.nonzero(drawn("Hg"))
    assert 4 <= columns.min() <= 7
    assert rows.min() >= 4
    assert rows.max() <= 4 + 14 * 1.3
    assert abs(columns.max() - 4 - letters(14).width("Hg")) <= 2


@given(st.text(alphabet="ab 正炎é\n", max_size=80), st.integers(20, 200))
def test_lines_are_no_wider_than_asked_and_lose_nothing(text: str, width: int) -> None:
    told = letters(14)
    lines = told.lines(text, width)
    assert "".join(lines).replace(" ", "") == "".join(text.split())
    assert all(told.width(line) <= width for line in lines)


def test_what_has_no_shape_breaks_nothing() -> None:
    assert np.array_equal(drawn("a\nb\ud800\x07c"), drawn("a b  c"))
