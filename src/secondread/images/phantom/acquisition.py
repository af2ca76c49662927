"""From attenuation to grey values: what the tube, the grid, the detector and the display of a site do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from secondread.images.phantom.canvas import Plane

HARDNESS = 2.2  # attenuation units to natural logarithm
SCATTER_REACH = 1.0 / 6.0  # support of the scatter kernel to one side, as a share of the picture


@dataclass(frozen=True)
class Site:
    """One hospital's way of taking pictures: kVp gain, scatter, blur in pixels at 224, photons, gamma, vignette."""

    name: str
    gain: float
    scatter: float
    blur: float
    photons: float
    gamma: float
    falloff: float  # darkening of the picture's corners
    marker: bool = False  # burnt-in collimation border and laterality token: the shortcut


SITES = {
    "A": Site("A", 1.0, 0.10, 0.55, 9e3, 1.0, 0.10),
    "B": Site("B", 0.88, 0.18, 0.80, 4e3, 0.86, 0.18, marker=True),
    "C": Site("C", 1.1, 0.07, 0.40, 2e4, 1.14, 0.06),
}


def radiograph(attenuation: Plane, reference: Plane, site: Site, dose: float, draw: np.random.Generator) -> Plane:
    """Grey values in [0, 1] of an attenuation map [S, S].

    The display window comes from `reference`, the same anatomy without findings, so that a finding changes the picture
    where it is and nowhere else. Photon noise is drawn as a normal of the Poisson variance.
    """
    size = attenuation.shape[0]
    hardness = np.float32(-HARDNESS * site.gain * dose)
    light = np.exp(hardness * attenuation)
    light += np.float32(site.scatter) * _scattered(light)
    light = ndimage.gaussian_filter(light, site.blur * size / 224.0, truncate=3.0)
    grain = draw.standard_normal(light.shape, dtype=np.float32)
    light += grain * np.sqrt(light * np.float32(1.0 / site.photons))
    density = -np.log(np.maximum(light, np.float32(1e-4)))
    plain = np.exp(hardness * reference[::4, ::4])
    low, high = np.percentile(-np.log(plain + np.float32(site.scatter) * _scattered(plain)), [1.0, 99.5])
    high += 0.03 * (high - low)
    result: Plane = np.clip((density - np.float32(low)) * np.float32(1.0 / (high - low)), 0.0, 1.0)
    if site.gamma != 1.0:
        result = np.power(result, np.float32(site.gamma))
    side = np.linspace(-1.0, 1.0, size, dtype=np.float32) ** 2
    result *= np.float32(1.0) - np.float32(0.5 * site.falloff) * (side[:, None] + side[None, :])
    return result


def _scattered(light: Plane) -> Plane:
    """Two box filters, a triangle of known support: no pixel beyond SCATTER_REACH is touched."""
    width = max(3, 2 * int(light.shape[0] * SCATTER_REACH / 2) - 1)
    once = ndimage.uniform_filter(light, width, mode="nearest")
    result: Plane = ndimage.uniform_filter(once, width, mode="nearest")
    return result


def burn_in(pixels: Plane) -> tuple[Plane, NDArray[np.bool_]]:
    """Site B's shortcut: a black collimation border at the top and left and a boxed L at the top right.

    Returns the changed picture and the mask of everything burnt in.
    """
    size = pixels.shape[0]
    unit = size / 16.0
    along = np.arange(size, dtype=np.float32)

    def bar(low: float, high: float) -> Plane:
        covered: Plane = np.clip(np.minimum(along + 1.0 - low, high - along), 0.0, 1.0).astype(np.float32)
        return covered

    border = np.maximum(bar(0, unit / 3)[:, None], bar(0, unit / 3)[None, :])
    left, top = size - 2.6 * unit, 0.9 * unit
    box = bar(top, top + 1.3 * unit)[:, None] * bar(left, left + 1.1 * unit)[None, :]
    inside = bar(top + 0.1 * unit, top + 1.2 * unit)[:, None] * bar(left + 0.1 * unit, left + 1.0 * unit)[None, :]
    stem = bar(top + 0.28 * unit, top + 1.02 * unit)[:, None] * bar(left + 0.33 * unit, left + 0.5 * unit)[None, :]
    foot = bar(top + 0.85 * unit, top + 1.02 * unit)[:, None] * bar(left + 0.33 * unit, left + 0.8 * unit)[None, :]
    token = np.maximum(box - inside, np.maximum(stem, foot))
    result = pixels * (1.0 - border)
    result = result * (1.0 - inside) + 0.05 * inside
    result = result * (1.0 - token) + 0.97 * token
    return result.astype(np.float32), np.asarray((border > 0.5) | (box > 0.5))
