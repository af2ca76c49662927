"""Brain tumours: a mass that pushes tissue aside, with enhancement and oedema after its kind and the sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from secondread.images.phantom.brain import SURFACE, Head, Slice
from secondread.images.phantom.canvas import Frame, Plane, bell, laid_on, step, texture

F = np.float32
TUMOUR = "Tumour"
# grey values of rim, core, solid mass and oedema per sequence
TUMOUR_TISSUES = {
    "T1c": {"rim": 0.98, "core": 0.26, "solid": 0.92, "infiltrate": 0.36, "oedema": 0.40},
    "FLAIR": {"rim": 0.74, "core": 0.36, "solid": 0.70, "infiltrate": 0.80, "oedema": 0.84},
    "T2": {"rim": 0.58, "core": 0.92, "solid": 0.64, "infiltrate": 0.80, "oedema": 0.82},
}
KINDS = ("ring", "dural", "metastasis", "infiltrating")
SHARES = (0.36, 0.42, 0.12, 0.10)


@dataclass(frozen=True)
class Mass:
    """One tumour: its kind, centre, radius, reach of oedema and mass effect, and textures."""

    kind: str
    centre: tuple[float, float]
    radius: float
    reach: float
    rough: Plane
    grain: Plane


def draw_mass(head: Head, draw: np.random.Generator, severity: float) -> Mass:
    """A tumour in the brain of a patient: meningiomas sit on the surface, the others inside, off the midline."""
    kind = str(draw.choice(KINDS, p=SHARES))
    size = {"ring": (0.13, 0.14), "dural": (0.13, 0.15), "metastasis": (0.05, 0.06), "infiltrating": (0.13, 0.12)}[kind]
    radius = size[0] + size[1] * severity * draw.uniform(0.7, 1.0)
    angle = draw.normal(-0.5 * np.pi, 0.8)  # mostly in the front and at the sides
    deep = 0.97 - 0.6 * radius if kind == "dural" else draw.uniform(0.32, max(0.36, 0.90 - 1.3 * radius))
    x = deep * SURFACE * head.axes[0] * np.cos(angle)
    y = deep * SURFACE * head.axes[1] * np.sin(angle)
    if abs(x) < 0.10:
        x = 0.10 if x >= 0 else -0.10
    spread = {"ring": 2.1, "dural": 1.5, "metastasis": 3.0, "infiltrating": 1.6}[kind]
    rough, grain = texture(draw, 2.0, 1.2, 8.0, side=128), texture(draw, 1.4, 5.0, side=160)
    return Mass(kind, (float(x), float(y)), float(radius), float(radius * spread), rough, grain)


def pushed_by(mass: Mass, frame: Frame, contrast: float) -> tuple[Plane, Plane]:
    """Where the tissue at each pixel would be without the mass; unchanged beyond the mass's reach."""
    x, y = frame.X - F(mass.centre[0]), frame.Y - F(mass.centre[1])
    near = np.maximum(F(1.0) - (x * x + y * y) * F(1.0 / mass.reach**2), F(0.0))
    firm = {"ring": 0.45, "dural": 0.5, "metastasis": 0.15, "infiltrating": 0.25}[mass.kind]
    pull = F(firm * min(contrast, 1.0)) * near * near
    return frame.X - x * pull, frame.Y - y * pull


def with_mass(seen: Slice, mass: Mass, contrast: float) -> tuple[Plane, NDArray[np.bool_]]:
    """The slice's image with the tumour in it, and the mask of the tumour without its oedema."""
    values, strength = TUMOUR_TISSUES[seen.sequence], F(min(contrast, 1.0))
    x, y = seen.frame.X - F(mass.centre[0]), seen.frame.Y - F(mass.centre[1])
    away = np.sqrt(x * x + y * y)
    rough, grain = np.clip(laid_on(seen.frame, mass.rough), F(-2.2), F(2.2)), laid_on(seen.frame, mass.grain)
    uneven = {"ring": 0.16, "dural": 0.05, "metastasis": 0.09, "infiltrating": 0.2}[mass.kind]
    q = away * F(1.0 / mass.radius) * (F(1.0) + F(uneven) * rough)
    inside = step(F(0.99) - seen.radius, 0.006) * step(F(mass.reach * 0.97) - away, 0.004)
    tumour = step(F(1.0) - q, 0.035) * inside
    swelling = step(F(0.78 * mass.reach) * (F(1.0) + F(0.22) * rough) - away, 0.016) * inside
    image = _blend(seen.image, values["oedema"], strength * swelling * (F(0.15) + F(0.75) * seen.white))
    lively = F(1.0) + F(0.05 if mass.kind == "dural" else 0.10) * grain
    if mass.kind in ("ring", "metastasis"):
        image = _blend(image, values["core"] * lively, tumour * strength)
        wall = bell(((q - F(0.82)) * F(1.0 / 0.19)) ** 2) * inside
        image = _blend(image, values["rim"], wall * strength * (F(0.85) + F(0.15) * np.clip(grain, F(-1.0), F(1.0))))
    else:
        filling = "solid" if mass.kind == "dural" else "infiltrate"
        image = _blend(image, values[filling] * lively, tumour * strength)
    return image, np.asarray(tumour > 0.5)


def _blend(image: Plane, value: float | Plane, share: Plane) -> Plane:
    result: Plane = image + (value - image) * share
    return result
