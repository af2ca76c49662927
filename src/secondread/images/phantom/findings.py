"""Findings on chest X-rays: each adds to the attenuation map and says where it is.

A finding draws its place, extent and texture from its own stream, in anatomy coordinates, and keeps off the heart by a
zone that does not depend on the heart's true size: toggling one finding moves no other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from secondread.images.phantom import thorax
from secondread.images.phantom.canvas import Plane, bell, chord, ellipse, laid_on, step, texture
from secondread.images.phantom.chest import Scene

Mask = NDArray[np.bool_]
F = np.float32


@dataclass(frozen=True)
class Effect:
    """The change of attenuation [S, S] and the region of the finding [S, S]."""

    change: Plane
    mask: Mask


Finding = Callable[[Scene, np.random.Generator, float, float], Effect]


def heart_ratio(own: float, severity: float, contrast: float) -> float:
    """Heart width over chest width with cardiomegaly: its mild end overlaps the normal range."""
    return own * 0.25 + 0.75 * 0.455 + (0.035 + 0.085 * severity) * contrast


def _side(draw: np.random.Generator) -> int:
    return int(draw.random() < 0.5)


def _in_lung(scene: Scene, draw: np.random.Generator, k: int, margin: float, top: float = 0.1) -> tuple[float, float]:
    """A point (X, Y) of lung k, `margin` from its borders, off the heart's widest zone and under `top` of the apex."""
    chest = scene.chest
    side = 2.0 * k - 1.0
    for _ in range(200):
        y = draw.uniform(chest.apex + top + margin, chest.domes[k] - margin)
        medial, lateral = thorax.lung_span(chest, k, np.array([y], F))
        near, far = max(float(medial[0]), 0.19) + margin, float(lateral[0]) - margin
        x = near + (far - near) * draw.random()
        if far < near:  # the lung is too narrow here
            continue
        reach = (0.54 if k else 0.27) + margin
        if (x / reach) ** 2 + ((y - 0.27) / (0.37 + margin)) ** 2 > 1.0:
            return side * x, y
    return side * 0.45, -0.25


def nodule(scene: Scene, draw: np.random.Generator, severity: float, contrast: float) -> Effect:
    """A round, slightly uneven shadow, 5 to 11 % of the picture wide."""
    k = _side(draw)
    radius = draw.uniform(0.05, 0.105)
    centre = _in_lung(scene, draw, k, 0.06)
    uneven = laid_on(scene.frame, texture(draw, 2.0, 2.0, 12.0, side=96))
    squared = ellipse(scene.frame, centre, (radius, radius * draw.uniform(0.85, 1.15))) * (F(1.0) + F(0.13) * uneven)
    shade = ndimage.gaussian_filter(chord(squared), scene.frame.size / 260.0)
    return Effect(F((0.21 + 0.27 * severity) * contrast) * shade, squared < 1.0)


def consolidation(scene: Scene, draw: np.random.Generator, severity: float, contrast: float) -> Effect:
    """A fluffy opacity of one lobe, with air-filled bronchi showing through."""
    k = _side(draw)
    centre = _in_lung(scene, draw, k, 0.08)
    wide, high = draw.uniform(0.15, 0.26), draw.uniform(0.12, 0.22)
    grow = 0.7 + 0.4 * severity
    ragged = laid_on(scene.frame, texture(draw, 2.6, 0.8, side=96))
    fine = laid_on(scene.frame, texture(draw, 1.4, 5.0, side=160))
    core = bell(ellipse(scene.frame, centre, (wide * grow, high * grow), draw.uniform(-40.0, 40.0)))
    near = np.minimum(F(4.0) * core, F(1.0))
    region = (
        step(F(1.5) * core + F(0.33) * ragged * near - F(0.72), 0.14) * scene.lungs.sides[k] * (F(1.0) - scene.middle)
    )
    shade = region * (F(1.0) - F(0.22) * np.minimum(np.abs(fine), F(2.0)))
    return Effect(F((0.16 + 0.24 * severity) * contrast) * shade, region > 0.4)


def effusion(scene: Scene, draw: np.random.Generator, severity: float, contrast: float) -> Effect:
    """Fluid at the base of one lung with a meniscus that climbs the side wall."""
    k = _side(draw)
    frame, chest, exposure = scene.frame, scene.chest, scene.exposure
    outward = F(2.0 * k - 1.0) * frame.X
    base = chest.domes[k] + exposure.inspiration + exposure.raised[k]
    lateral = np.clip((outward - F(0.28)) * F(1.0 / 0.36), 0.0, 1.3)
    level = F(base - (0.015 + 0.26 * severity * contrast) + 0.05) - F(0.15) * lateral * lateral
    within = step(outward - F(0.08), 0.02) * step(thorax.cage(chest, frame.Y) - outward, 0.008)
    fluid = step(frame.Y - level, 0.022) * within * (F(1.0) - scene.lungs.below) * (F(1.0) - scene.heart)
    air = scene.lungs.sides[k]
    change: Plane = fluid * (F(0.8 * exposure.depth) * air + F(0.08))
    return Effect(change, np.asarray(fluid > 0.5))


def pneumothorax(scene: Scene, draw: np.random.Generator, severity: float, contrast: float) -> Effect:
    """Air around a fallen lung: no markings outside a thin pleural line, at the apex and the side."""
    k = _side(draw)
    frame, chest = scene.frame, scene.chest
    gap = 0.065 + 0.16 * severity
    outward = F(2.0 * k - 1.0) * frame.X
    _, lateral = thorax.lung_span(chest, k, frame.Y + F(-0.8 * gap))
    inward = outward - (lateral - F(gap) * np.clip((F(0.42) - frame.Y) * F(1.6), 0.0, 1.0))
    shell: Plane = scene.lungs.sides[k] * step(F(0.34) - frame.Y, 0.04)
    outside = step(inward, 0.010) * shell
    line = bell((inward * F(1.0 / 0.014)) ** 2) * shell
    change: Plane = F(0.12 * contrast) * (line - outside) - outside * scene.markings
    return Effect(change, np.asarray(outside > 0.5))


def edema(scene: Scene, draw: np.random.Generator, severity: float, contrast: float) -> Effect:
    """Bat-wing haze around both hila, with thicker markings."""
    X, Y = scene.frame.X, scene.frame.Y
    cloud = laid_on(scene.frame, texture(draw, 1.8, 2.0, side=128))
    wings = bell(((np.abs(X) - F(0.30)) * F(1.0 / 0.21)) ** 2 + ((Y - F(0.02)) * F(1.0 / 0.36)) ** 2)
    region = wings * scene.lungs.air * (F(1.0) - scene.middle)
    strength = (0.03 + 0.10 * severity) * contrast
    change = region * (F(strength) * (F(1.0) + F(0.45) * cloud) + F(0.7 * contrast) * scene.markings)
    return Effect(change, region > 0.35)


def interstitial(scene: Scene, draw: np.random.Generator, severity: float, contrast: float) -> Effect:
    """Streaky shadows that spread from both hila: the picture of a viral pneumonia in children."""
    X, Y = scene.frame.X, scene.frame.Y
    streaks = laid_on(scene.frame, texture(draw, 1.6, 3.5, 14.0, side=160))
    spread = laid_on(scene.frame, texture(draw, 2.8, 0.7, side=96))
    wings = bell(((np.abs(X) - F(0.27)) * F(1.0 / 0.22)) ** 2 + ((Y - F(0.06)) * F(1.0 / 0.34)) ** 2)
    near = np.minimum(F(4.0) * wings, F(1.0))
    region = step(F(1.4) * wings + F(0.22) * spread * near - F(0.55), 0.13) * scene.lungs.air * (F(1.0) - scene.middle)
    strength = (0.055 + 0.09 * severity) * contrast
    change = F(strength) * region * (F(0.55) + F(0.75) * np.maximum(streaks, F(-0.5)))
    return Effect(change + F(0.4 * contrast) * region * scene.markings, region > 0.4)


def peripheral(scene: Scene, draw: np.random.Generator, severity: float, contrast: float) -> Effect:
    """Ground-glass patches along the outer border of both lungs, mostly in the middle and lower zones."""
    frame, chest = scene.frame, scene.chest
    clouds = laid_on(frame, texture(draw, 2.4, 1.2, side=96))
    fine = laid_on(frame, texture(draw, 1.5, 5.0, side=160))
    height = draw.uniform(0.02, 0.22)
    depth = F(0.15 + 0.10 * severity)
    outer = bell(((thorax.cage(chest, frame.Y) - F(0.05) - np.abs(frame.X)) / depth) ** 2)
    outer *= bell(((frame.Y - F(height)) * F(1.0 / 0.34)) ** 2)
    near = np.minimum(F(4.0) * outer, F(1.0))
    region = step(F(1.35) * outer + F(0.30) * clouds * near - F(0.72), 0.13) * scene.lungs.air * (F(1.0) - scene.middle)
    shade = region * (F(1.0) - F(0.2) * np.minimum(np.abs(fine), F(2.0)))
    return Effect(F((0.075 + 0.125 * severity) * contrast) * shade, region > 0.4)


CHEST_FINDINGS: dict[str, Finding] = {
    "Lung Lesion": nodule,
    "Consolidation": consolidation,
    "Pleural Effusion": effusion,
    "Pneumothorax": pneumothorax,
    "Edema": edema,
    "Interstitial Opacity": interstitial,
    "Peripheral Opacity": peripheral,
}
CARDIOMEGALY = "Cardiomegaly"
