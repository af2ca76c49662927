"""The distance of spectra: nothing between equals, and it sees what blurs, chequers or only scales images."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from secondread.metrics.spectrum import spectral_distance

DRAWS = np.random.default_rng(0)


def smooth(count: int, sigma: float = 1.5, size: int = 64) -> np.ndarray:
    made = gaussian_filter(DRAWS.normal(size=(count, size, size)), (0, sigma, sigma))
    return np.clip(128 + 40 * made / made.std(), 0, 255).astype(np.uint8)


def test_images_of_one_kind_are_near_and_of_the_same_set_equal() -> None:
    one, other = smooth(60), smooth(40)
    assert spectral_distance(one, one) == 0
    assert spectral_distance(one, other) < 0.1
    assert spectral_distance(one, other) == spectral_distance(other, one)


def test_blur_and_chequers_are_far() -> None:
    real = smooth(60)
    blurred = gaussian_filter(real, (0, 1, 1))
    chequers = 12 * (np.indices((64, 64)).sum(axis=0) % 2)
    chequered = np.clip(real.astype(int) + chequers, 0, 255).astype(np.uint8)
    noisy = np.clip(real + DRAWS.normal(0, 12, real.shape), 0, 255).astype(np.uint8)
    for spoilt in (blurred, noisy):
        assert spectral_distance(real, spoilt) > 1
    assert spectral_distance(real, chequered) > spectral_distance(real, smooth(60))


def test_half_the_contrast_is_a_quarter_of_the_power() -> None:
    real = smooth(60)
    faint = (128 + (real.astype(float) - 128) / 2).astype(np.uint8)
    assert spectral_distance(real, faint) == pytest.approx(np.log(4), rel=0.15)


def test_colour_counts_as_its_mean_and_one_grey_level_is_allowed() -> None:
    real = smooth(20)
    assert spectral_distance(np.stack([real] * 3, axis=3), real) == pytest.approx(0, abs=1e-9)
    assert np.isfinite(spectral_distance(np.full((3, 16, 16), 7, np.uint8), np.full((2, 16, 16), 9, np.uint8)))
