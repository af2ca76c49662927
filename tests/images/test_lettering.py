"""What is written on pictures can be read."""

from __future__ import annotations

import pytest

from secondread.images.lettering import letters


@pytest.mark.parametrize("letter", [*"×–…°µéüßØПневмония"])
def test_letters_beyond_ascii_are_no_empty_boxes(letter: str) -> None:
    unknown = letters(14).getmask("\U000f0000")
    assert bytes(letters(14).getmask(letter)) != bytes(unknown)
