"""The chest of one patient: latents drawn once, and the soft tissue, lungs, heart and abdomen that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.images.phantom.canvas import Frame, Plane, bell, chord, ellipse, positioned, step
from secondread.images.phantom.streams import stream


@dataclass(frozen=True)
class Chest:
    """The latents of one patient's chest, in anatomy coordinates (half-widths, heights) and attenuation units."""

    scale: tuple[float, float]
    inner: float  # half-width of the rib cage
    apex: float  # Y of the lung tips
    wall: float  # soft tissue outside the ribs
    fat: float
    ratio: float  # heart width over chest width
    tilt: float  # of the heart's long axis, in degrees
    knob: float
    domes: tuple[float, float]  # Y of the right and left diaphragm
    outline: NDArray[np.float64]  # [2, 3] ripple of the lung borders
    rib_first: float
    rib_gap: float
    rib_fall: float
    rib_radius: float
    rib_density: float
    clavicle_slope: float
    shoulder: float
    breast: float
    bubble: float
    child: bool


@dataclass(frozen=True)
class Exposure:
    """What changes from one exposure of a patient to the next."""

    rotation: float
    zoom: float
    shift: tuple[float, float]
    inspiration: float
    raised: tuple[float, float]
    depth: float  # how much air the lungs hold: low values look hazy
    magnified: float  # heart magnification of the anteroposterior view
    dose: float
    arms: float


def draw_chest(draw: np.random.Generator, female: bool, child: bool) -> Chest:
    """One patient, from the stream of the anatomy."""
    normal, uniform = draw.normal, draw.uniform
    return Chest(
        scale=(normal(1.05, 0.04), normal(1.05, 0.04)),
        inner=normal(0.655, 0.028),
        apex=normal(-0.76, 0.025),
        wall=uniform(0.08, 0.17),
        fat=uniform(0.1, 0.6),
        ratio=min(max(normal(0.455, 0.028) + 0.03 * child, 0.37), 0.53),
        tilt=normal(35.0, 6.0),
        knob=uniform(0.055, 0.095) * (0.75 if child else 1.0),
        domes=(normal(0.42, 0.03), normal(0.47, 0.03)),
        outline=draw.normal(0.0, 0.006, (2, 3)),
        rib_first=normal(-0.80, 0.02),
        rib_gap=normal(0.142, 0.006),
        rib_fall=normal(0.62, 0.06) * (0.85 if child else 1.0),
        rib_radius=normal(0.0235, 0.002),
        rib_density=uniform(0.13, 0.21),
        clavicle_slope=normal(0.12, 0.05),
        shoulder=normal(-0.92, 0.03),
        breast=uniform(0.03, 0.11) if female and not child else 0.0,
        bubble=uniform(-0.5, 1.0),
        child=child,
    )


def draw_exposure(seed: int, patient: int, visit: int, jitter: float, anteroposterior: bool) -> Exposure:
    """One exposure: positioning from one stream, breathing and technique from another."""
    place = stream(seed, "patient", patient, "visit", visit, "positioning")
    breath = stream(seed, "patient", patient, "visit", visit, "nuisances")
    return Exposure(
        rotation=place.normal(0.0, 2.0) * jitter,
        zoom=1.0 + place.normal(0.0, 0.03) * jitter,
        shift=(place.normal(0.0, 0.03) * jitter, -0.05 + place.normal(0.0, 0.03) * jitter),
        inspiration=breath.normal(0.0, 0.03),
        raised=(breath.normal(0.0, 0.03), breath.normal(0.0, 0.03)),
        depth=breath.normal(0.50, 0.04),
        magnified=1.06 if anteroposterior else 1.0,
        dose=breath.normal(1.0, 0.04),
        arms=breath.uniform(0.0, 1.0),
    )


def frame_of(chest: Chest, exposure: Exposure, size: int) -> Frame:
    """The grid of an exposure in the coordinates of the patient's anatomy."""
    return positioned(size, exposure.rotation, exposure.zoom, exposure.shift, chest.scale)


def cage(chest: Chest, Y: Plane) -> Plane:
    """Half-width of the inside of the rib cage at height Y."""
    widest = 0.30
    rise = np.clip((widest - Y) / (widest - chest.apex), 0.0, 1.0)
    below = np.clip(Y - widest, 0.0, 1.0)
    result: Plane = np.float32(chest.inner) * np.sqrt(1.0 - rise * rise * (0.35 + 0.65 * rise))
    result -= np.float32(0.10) * below * below
    return result


def body(frame: Frame, chest: Chest, exposure: Exposure) -> Plane:
    """Soft tissue: torso, neck, shoulders and arms, falling off towards the sides."""
    X, Y = frame.X, frame.Y
    across = np.abs(X)
    waist = np.float32(chest.inner + chest.wall + 0.10 * chest.fat)
    armpit = np.clip((np.float32(-0.05) - Y) * 2.2, 0.0, 1.0)
    width = waist + np.float32(0.55) * armpit * armpit - np.float32(0.06) * np.clip(Y - 0.3, 0.0, 1.0)
    edge = across / width
    torso = np.sqrt(chord(edge * edge * edge * edge))
    top = np.float32(chest.shoulder) + np.float32(0.16) * across - np.float32(0.75) * bell((X / 0.27) ** 2)
    neck = np.clip((Y - top) * 3.5, 0.0, 1.0)
    torso *= np.sqrt(neck)
    result: Plane = torso * (np.float32(0.66) + np.float32(0.12 * chest.fat) + np.float32(0.06) * np.clip(Y, -1.0, 1.0))
    for side in (-1.0, 1.0):
        result = np.maximum(result, _arm(frame, chest, exposure, side))
    return result


def _arm(frame: Frame, chest: Chest, exposure: Exposure, side: float) -> Plane:
    """The upper arm hanging from the shoulder, apart from the chest."""
    lean = 0.16 + 0.16 * exposure.arms
    start = chest.inner + chest.wall + 0.24
    along = frame.Y - np.float32(chest.shoulder + 0.25)
    distance = (side * frame.X - np.float32(start) - np.float32(lean) * along) * np.float32(1.0 / 0.19)
    result: Plane = np.float32(0.5) * chord(distance * distance) * step(along + np.float32(0.1), 0.05)
    return result


@dataclass(frozen=True)
class Lungs:
    """Both lungs on the grid: thickness of air in [0, 1] with everything below the diaphragm left out."""

    sides: tuple[Plane, Plane]  # the patient's right, left
    below: Plane  # 1 under the diaphragm
    recess: Plane  # air of the lung behind the dome

    @property
    def air(self) -> Plane:
        result: Plane = self.sides[0] + self.sides[1]
        return result


def lung_span(chest: Chest, k: int, Y: Plane) -> tuple[Plane, Plane]:
    """The medial and the lateral border of lung k at height Y, as distances from the midline."""
    upper = np.clip((np.float32(-0.42) - Y) * np.float32(1.0 / 0.34), 0.0, 1.0)
    lateral = cage(chest, Y) - np.float32(0.012)
    for j, ripple in enumerate(chest.outline[k]):
        lateral = lateral + np.float32(ripple) * np.sin(np.float32(3.0 * (j + 2)) * Y)
    return np.float32(0.035) + np.float32(0.13) * upper * upper, lateral


def lungs(frame: Frame, chest: Chest, exposure: Exposure) -> Lungs:
    """The lung fields under the rib cage, bounded by domes with sharp lateral angles."""
    X, Y = frame.X, frame.Y
    top = step(Y - np.float32(chest.apex + 0.02), 0.012)
    behind = bell(((Y - np.float32(0.5)) * np.float32(5.0)) ** 2)
    sides, below, recess = [], np.zeros_like(X), np.zeros_like(X)
    for k, side in enumerate((-1.0, 1.0)):
        outward = np.float32(side) * X
        medial, lateral = lung_span(chest, k, Y)
        half = np.maximum((lateral - medial) * np.float32(0.5), np.float32(0.02))
        place = (outward - (lateral + medial) * np.float32(0.5)) / half
        place *= place
        thickness = np.sqrt(chord(place * place)) * top
        under = step(Y - dome(chest, exposure, k, outward), 0.007)
        under *= outward > 0
        recess += thickness * under * behind
        thickness -= thickness * under
        sides.append(thickness)
        below += under
    return Lungs((sides[0], sides[1]), below, recess)


def dome(chest: Chest, exposure: Exposure, k: int, outward: Plane) -> Plane:
    """Y of the diaphragm on side k (0 the patient's right) at a distance from the midline."""
    base = chest.domes[k] + exposure.inspiration + exposure.raised[k]
    middle = 0.5 * sum(chest.domes) + exposure.inspiration + 0.5 * sum(exposure.raised) + 0.05
    lateral = np.clip((outward - np.float32(0.30)) * np.float32(1.0 / 0.36), 0.0, 1.4)
    medial = np.clip((np.float32(0.24) - outward) * np.float32(1.0 / 0.24), 0.0, 1.0)
    medial = medial * medial * (np.float32(3.0) - np.float32(2.0) * medial)
    result: Plane = np.float32(base) + np.float32(0.23) * lateral * lateral * np.sqrt(lateral)
    result += np.float32(middle - base) * medial
    return result


def heart(frame: Frame, chest: Chest, exposure: Exposure) -> tuple[Plane, Plane]:
    """The heart: its silhouette in [0, 1], crisp against the lungs, and its thickness in [0, 1]."""
    wide = chest.ratio * exposure.magnified * chest.inner
    extra = wide - 0.30
    centre = (0.105 + 0.32 * extra, 0.245 + exposure.inspiration)
    left = ellipse(frame, centre, (1.22 * wide, 0.86 * wide), chest.tilt)
    right = ellipse(frame, (-0.075 - 0.22 * extra, 0.19 + 0.5 * exposure.inspiration), (0.125 + 0.2 * extra, 0.30))
    waist = ellipse(frame, (0.065, -0.03), (0.155, 0.30), -20.0)
    nearest = np.minimum(np.minimum(left, right), waist)
    return step(np.float32(1.0) - nearest, 0.045), chord(left)


def mediastinum(frame: Frame, chest: Chest) -> Plane:
    """The upper mediastinum in [0, 1]: great veins, aortic knob, pulmonary trunk and the descending aorta."""
    X, Y = frame.X, frame.Y
    flare = np.clip(-Y - np.float32(0.50), 0.0, 0.6)
    strip = np.float32(0.112) + np.float32(0.10) * flare * flare
    shade = step(strip - np.abs(X + np.float32(0.012)), 0.011) * np.float32(0.92)
    knob = step(1.0 - ellipse(frame, (0.08, -0.30), (chest.knob + 0.045, chest.knob + 0.06)), 0.07)
    trunk = step(1.0 - ellipse(frame, (0.10, -0.14), (0.085, 0.15), 14.0), 0.07)
    result: Plane = np.maximum(shade, np.maximum(knob, np.float32(0.9) * trunk))
    return result


def abdomen(frame: Frame, chest: Chest, below: Plane) -> Plane:
    """Liver, spleen and stomach under the domes, with a gas bubble in the stomach of some patients."""
    X, Y = frame.X, frame.Y
    liver = np.float32(0.17) + np.float32(0.04) * step(-X, 0.1) + np.float32(0.05) * np.clip(Y - 0.4, 0.0, 1.0)
    side = (X / np.float32(chest.inner + 0.5 * chest.wall)) ** 2
    result: Plane = below * liver * (np.float32(1.0) - np.float32(0.9) * np.clip(side * side, 0.0, 1.0))
    if chest.bubble > 0:
        size = 0.06 + 0.07 * chest.bubble
        gas = chord(ellipse(frame, (0.28, chest.domes[1] + 0.09 + 0.6 * size), (1.3 * size, 0.75 * size), -12.0))
        result -= np.float32(0.19) * gas * below
    return result


def breasts(frame: Frame, chest: Chest) -> Plane:
    """Breast shadows over the lower lung fields; zero for most patients."""
    total = np.zeros_like(frame.X)
    if chest.breast:
        for side in (-1.0, 1.0):
            fold = ellipse(frame, (side * 0.46, 0.30), (0.36, 0.34))
            total += np.float32(chest.breast) * chord(fold * fold) * step(frame.Y - np.float32(0.22), 0.13)
    return total
