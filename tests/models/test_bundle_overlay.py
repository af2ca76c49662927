"""Heatmaps lie over the part of the image that the model saw."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from secondread.images.decode_resize import resize_to
from secondread.images.decode_types import Fit
from secondread.models.bundle.overlay import captioned, colours, onto_image, overlay, shrunk


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    st.sampled_from(["stretch", "pad", "crop"]), st.integers(40, 160), st.integers(40, 160),
    st.floats(0, 0.2), st.integers(0, 2), st.integers(0, 2),
)  # fmt: skip
def test_a_spot_comes_back_to_where_it_was(
    fit: Fit, height: int, width: int, border: float, row: int, column: int
) -> None:
    """What the model's view of a spot shows, brought back, has its centre on the spot (or the spot was cut away)."""
    image = np.zeros((height, width), np.uint8)
    top, left = height // 2 + (row - 1) * height // 8, width // 2 + (column - 1) * width // 8
    image[top - 2 : top + 3, left - 2 : left + 3] = 255
    seen = resize_to(image, 48, fit, border).astype(np.float32)
    if seen.sum() < 30:
        return
    back = onto_image(seen, height, width, fit, border)
    assert back.shape == image.shape
    rows, columns = np.indices(back.shape)
    assert (rows * back).sum() / back.sum() == pytest.approx(top, abs=2.5)
    assert (columns * back).sum() / back.sum() == pytest.approx(left, abs=2.5)


def test_colours_grow_lighter() -> None:
    shades = colours(np.linspace(0, 1, 50, dtype=np.float32))
    lightness = shades @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(lightness) > 0).all()
    assert shades.min() >= 0
    assert shades.max() <= 255


def test_nothing_is_drawn_where_there_is_no_heat() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    heat = np.zeros((30, 40), np.float32)
    assert (np.asarray(overlay(pixels, heat, 0.0)) == pixels[..., None]).all()
    heat[5, 7] = 2.0
    drawn = np.asarray(overlay(pixels, heat, 2.0))
    changed = (drawn != pixels[..., None]).any(2)
    assert changed.sum() == 1
    assert changed[5, 7]


def test_shrunk_keeps_the_aspect() -> None:
    assert shrunk(np.zeros((100, 50), np.uint8), 60).shape == (60, 30)
    assert shrunk(np.zeros((50, 40, 3), np.uint8), 60).shape == (50, 40, 3)


@pytest.mark.parametrize("side", [64, 256, 700])
@pytest.mark.parametrize("top", [0.0, 0.9])
def test_every_word_of_a_caption_is_on_the_picture(side: int, top: float) -> None:
    """The last words are the caution: another last word is another picture, and nothing touches the right edge."""
    plain = Image.new("RGB", (side, side))
    said = "PNEUMONIA 0.98 (read): attention on a grid of 2 × 2, smoothed; not the border of a "
    one, other = (np.asarray(captioned(plain, said + word, top)) for word in ("lesion", "finding"))
    assert one.shape == other.shape
    assert (one != other).any()
    assert (one[side:, -2:] == 255).all()
