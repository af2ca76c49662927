"""An axial slice of the head: scalp, skull, fluid, folded cortex, white matter, ventricles and deep grey matter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from secondread.images.phantom.canvas import Frame, Plane, bell, ellipse, laid_on, positioned, step, texture
from secondread.images.phantom.streams import stream

F = np.float32
SURFACE = 0.89  # radius of the brain's surface, in radii of the head
SEQUENCES = ("T1c", "FLAIR", "T2")
SEQUENCE_SHARES = (0.7, 0.2, 0.1)
# grey value of each tissue per sequence: contrast-enhanced T1, fluid-attenuated T2, plain T2
TISSUES = {
    "T1c": {"scalp": 0.86, "bone": 0.06, "marrow": 0.30, "fluid": 0.13, "grey": 0.41, "white": 0.54, "vein": 0.92},
    "FLAIR": {"scalp": 0.66, "bone": 0.05, "marrow": 0.20, "fluid": 0.09, "grey": 0.56, "white": 0.45, "vein": 0.30},
    "T2": {"scalp": 0.62, "bone": 0.05, "marrow": 0.24, "fluid": 0.93, "grey": 0.56, "white": 0.39, "vein": 0.12},
}


@dataclass(frozen=True)
class Head:
    """The latents of one patient's head, in anatomy coordinates."""

    axes: tuple[float, float]
    outline: NDArray[np.float64]  # [3] ripple of the skull
    scalp: float  # thickness of the scalp in head radii
    skull: float  # brightness and width of the marrow
    atrophy: float  # width of sulci and ventricles, 0 young to 1 old
    level: float  # height of the slice: under 0.55 basal ganglia, above it the bodies of the ventricles
    lean: float  # left-right asymmetry of the ventricles
    folds: Plane
    depths: Plane
    matter: Plane


@dataclass(frozen=True)
class Slice:
    """One acquisition of a head: grid, brain radius (1 on the brain's surface), tissue grey values [S, S] in [0, 1]."""

    frame: Frame
    head: Head
    sequence: str
    radius: Plane
    white: Plane
    image: Plane


@lru_cache(maxsize=16)
def head_of(seed: int, patient: int) -> Head:
    """The head of one patient, from the streams of the anatomy and of the texture."""
    draw, surface = stream(seed, "patient", patient, "anatomy"), stream(seed, "patient", patient, "texture")
    return Head(
        axes=(draw.normal(0.735, 0.03), draw.normal(0.885, 0.03)),
        outline=draw.normal(0.0, 0.009, 3),
        scalp=draw.uniform(0.022, 0.05),
        skull=draw.uniform(0.02, 0.05),
        atrophy=float(draw.beta(1.6, 2.2)),
        level=draw.uniform(0.0, 1.0),
        lean=draw.normal(0.0, 0.06),
        folds=texture(surface, 0.4, 2.6, 8.5, side=224),
        depths=texture(surface, 2.2, 0.5, 3.0, side=96),
        matter=texture(surface, 1.8, 2.0, side=192),
    )


def head_frame(seed: int, patient: int, visit: int, jitter: float, size: int) -> Frame:
    """Positioning of the head in the coil."""
    place = stream(seed, "patient", patient, "visit", visit, "positioning")
    shift = (place.normal(0.0, 0.03) * jitter, place.normal(0.0, 0.03) * jitter)
    return positioned(size, place.normal(0.0, 2.5) * jitter, 1.0 + place.normal(0.0, 0.04) * jitter, shift, (1.0, 1.0))


def slice_of(head: Head, frame: Frame, sequence: str, pushed: tuple[Plane, Plane] | None = None) -> Slice:
    """Tissue grey values on the grid. `pushed` gives, per pixel, where its brain tissue would be without a mass."""
    values = TISSUES[sequence]
    outer = _radius(head, frame.X, frame.Y)
    x, y = pushed if pushed is not None else (frame.X, frame.Y)
    radius = _radius(head, x, y) * F(1.0 / SURFACE) if pushed is not None else outer * F(1.0 / SURFACE)
    seen = Frame.__new__(Frame)  # the same grid with the tissue moved
    for name, value in (("size", frame.size), ("matrix", frame.matrix), ("shift", frame.shift), ("X", x), ("Y", y)):
        object.__setattr__(seen, name, value)
    grey, fluid = _cortex(head, seen, radius)
    _deep(head, seen, grey, fluid)
    white = (F(1.0) - grey) * (F(1.0) - fluid)
    brain = F(values["white"]) + F(values["grey"] - values["white"]) * grey
    brain += F(values["fluid"] - values["white"]) * fluid - F(values["grey"] - values["white"]) * fluid * grey
    brain *= F(1.0) + F(0.035) * laid_on(frame, head.matter) * (F(1.0) - fluid)
    if sequence == "T1c":
        brain += F(values["vein"] - 0.3) * _enhancing(head, seen)
    return Slice(frame, head, sequence, radius, white, _shells(head, frame, outer, brain, values))


def _radius(head: Head, x: Plane, y: Plane) -> Plane:
    """1 on the outline of the head: an ellipse, narrower in front, with a patient's ripple."""
    u, v = x * F(1.0 / head.axes[0]), y * F(1.0 / head.axes[1])
    radius = np.sqrt(u * u + v * v) + F(1e-6)
    cos, sin = v / radius, u / radius
    a, b, c = (F(value) for value in head.outline)
    ripple = (
        F(0.03) * sin * sin * cos * F(-1.0) + a * cos * cos + b * sin * cos + c * (F(2.0) * cos * cos - F(1.0)) * cos
    )
    result: Plane = radius * (F(1.0) + ripple)
    return result


def _cortex(head: Head, seen: Frame, radius: Plane) -> tuple[Plane, Plane]:
    """Grey matter and fluid of the folded surface: sulci run inwards and wander."""
    side = head.folds.shape[0]
    angle = np.arctan2(seen.Y, seen.X) * F(side / (2.0 * np.pi))
    across = radius * F(side * 0.17)
    fold = ndimage.map_coordinates(head.folds, np.stack([across, angle]), order=1, mode="grid-wrap", prefilter=False)
    reach = F(0.71) + F(0.10) * laid_on(seen, head.depths)
    outer = step(radius - reach, 0.018)
    fold *= fold
    opened = 0.03 + 0.09 * head.atrophy
    sulci = bell(fold * F(1.0 / opened)) * outer
    rim = step(radius - F(0.985 - 0.02 * head.atrophy), 0.007)
    fissure = _fissure(head, seen)
    fluid = np.maximum(np.maximum(sulci * F(0.6 + 0.4 * head.atrophy), rim), fissure)
    ribbon = bell(fold * F(1.0 / 0.55)) * step(radius - reach + F(0.045), 0.02)
    grey = np.maximum(np.maximum(ribbon, step(radius - F(0.925), 0.012)), _beside_fissure(head, seen))
    return grey, fluid


def _midline(seen: Frame) -> Plane:
    wander: Plane = np.abs(seen.X + F(0.008) * np.sin(seen.Y * F(9.0)))
    return wander


def _fissure_length(head: Head, seen: Frame) -> Plane:
    """1 where the hemispheres are apart: everywhere in high slices, in front and behind in low ones."""
    if head.level > 0.8:
        return np.ones_like(seen.X)
    result: Plane = step(np.abs(seen.Y - F(0.03)) - F(0.38), 0.015)
    return result


def _fissure(head: Head, seen: Frame) -> Plane:
    width = 0.010 + 0.012 * head.atrophy
    return step(F(width) - _midline(seen), 0.005) * _fissure_length(head, seen)


def _beside_fissure(head: Head, seen: Frame) -> Plane:
    return step(F(0.045) - _midline(seen), 0.008) * _fissure_length(head, seen) * F(0.9)


def _deep(head: Head, seen: Frame, grey: Plane, fluid: Plane) -> None:
    """Ventricles, basal ganglia and thalami; changes `grey` and `fluid`."""
    wide = 0.75 + 0.75 * head.atrophy

    def put(target: Plane, centre: tuple[float, float], axes: tuple[float, float], tilt: float, edge: float) -> None:
        for side in (-1.0, 1.0):
            size = 1.0 + side * head.lean
            shape = ellipse(seen, (side * centre[0], centre[1]), (axes[0] * size, axes[1]), side * tilt)
            np.maximum(target, step(F(1.0) - np.sqrt(shape), edge), out=target)

    if head.level <= 0.55:
        put(grey, (0.125, -0.165), (0.055, 0.10), -12.0, 0.10)  # caudate nuclei
        put(grey, (0.265, -0.02), (0.06, 0.155), -14.0, 0.09)  # lentiform nuclei
        put(grey, (0.095, 0.10), (0.08, 0.125), -25.0, 0.10)  # thalami
        put(grey, (0.385, -0.03), (0.022, 0.19), 4.0, 0.20)  # insular cortex
        put(fluid, (0.425, -0.02), (0.012 + 0.014 * head.atrophy, 0.17), 4.0, 0.25)  # Sylvian fissures
        put(fluid, (0.062, -0.20), (0.026 * wide, 0.105), -22.0, 0.10)  # frontal horns
        put(fluid, (0.20, 0.29), (0.036 * wide, 0.125), -28.0, 0.09)  # atria and occipital horns
        slit = ellipse(seen, (0.0, 0.07), (0.010 + 0.012 * head.atrophy, 0.12))
        np.maximum(fluid, step(F(1.0) - np.sqrt(slit), 0.12), out=fluid)
    elif head.level <= 0.88:
        put(grey, (0.165, -0.09), (0.035, 0.17), 8.0, 0.12)
        put(fluid, (0.085, -0.11), (0.040 * wide, 0.21), 9.0, 0.08)  # bodies of the lateral ventricles
        put(fluid, (0.135, 0.15), (0.042 * wide, 0.15), -22.0, 0.08)


def _enhancing(head: Head, seen: Frame) -> Plane:
    """What takes up contrast in a healthy head: the sagittal sinus, and the choroid plexus in low slices."""
    behind = (0.0, head.axes[1] * SURFACE * 0.985)
    spots = step(F(1.0) - np.sqrt(ellipse(seen, behind, (0.04, 0.028))), 0.12)
    front = ellipse(seen, (0.0, -head.axes[1] * SURFACE * 0.98), (0.022, 0.018))
    np.maximum(spots, step(F(1.0) - np.sqrt(front), 0.15), out=spots)
    if head.level <= 0.55:
        for side in (-1.0, 1.0):
            plexus = ellipse(seen, (side * 0.185, 0.25), (0.016, 0.05), -side * 25.0)
            np.maximum(spots, F(0.8) * step(F(1.0) - np.sqrt(plexus), 0.2), out=spots)
    return spots


def _shells(head: Head, frame: Frame, outer: Plane, brain: Plane, values: dict[str, float]) -> Plane:
    """The brain inside its fluid, the skull with its marrow, and the scalp; air outside."""
    inner, uneven = SURFACE + 0.006, laid_on(frame, head.depths)
    bone = F(1.0 - head.scalp) - F(0.007) * uneven
    diploe = F(0.5) * (bone + F(inner))
    result = F(values["fluid"]) + (brain - F(values["fluid"])) * step(F(SURFACE) - outer, 0.004)
    result += (F(values["bone"]) - result) * step(outer - F(inner), 0.005)
    result += F(values["marrow"]) * bell(((outer - diploe) * F(1.0 / (0.25 * head.skull))) ** 2)
    fat = F(values["scalp"]) * (F(0.88) + F(0.12) * uneven) * (F(1.0) - F(0.5) * step(outer - F(0.990), 0.003))
    result += (fat - result) * step(outer - bone, 0.005)
    shaded: Plane = result * step(F(1.0) - outer, 0.005)
    return shaded
