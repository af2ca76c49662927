"""The skeleton as strokes: ribs as tilted loops in space, clavicles, shoulder blades, spine; and the vessel trees."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.images.phantom.canvas import Strokes, resampled, spacing
from secondread.images.phantom.thorax import Chest, cage

RIBS = 10
Points = NDArray[np.float64]


def add_ribs(strokes: Strokes, chest: Chest) -> None:
    """Ten pairs of ribs. Each is a loop in space: level at the spine, falling along the side, seen again in front.

    The weights follow the length in space, which brightens the side wall where a rib runs along the beam.
    """
    turn = np.linspace(0.06, 2.35, 90)
    for i in range(RIBS):
        root = chest.rib_first + i * chest.rib_gap
        fall = chest.rib_fall * (0.40 + 0.075 * min(i, 7))
        half = float(cage(chest, np.array([root + 0.45 * fall], np.float32))[0]) + 0.012
        half = min(max(half, 0.24 + 0.05 * i), chest.inner + 0.02)
        x = half * np.sin(turn) ** 0.92
        y = (
            root
            + fall * (0.5 * (1.0 - np.cos(turn)) + 0.10 * np.sin(turn))
            - 0.035 * np.sin(2.0 * np.minimum(turn, 1.6))
        )
        z = 0.55 * half * np.cos(turn)
        ends = (
            np.clip((2.35 - turn) / 0.35, 0.0, 1.0) * np.where(turn > np.pi / 2, 0.75, 1.0) * min(0.55 + 0.15 * i, 1.0)
        )
        for side in (-1.0, 1.0):
            space = np.stack([side * x + 0.03 * side, y, z], axis=1)
            weights = chest.rib_density * np.minimum(spacing(space), 2.6 * spacing(space[:, :2])) * ends
            strokes.add(space[:, :2], weights, chest.rib_radius, hollow=0.85)


def add_clavicles(strokes: Strokes, chest: Chest) -> None:
    """Collar bones, S-shaped, from the breastbone to the shoulder."""
    for side in (-1.0, 1.0):
        x = np.linspace(0.075, 0.80, 24)
        y = chest.apex + 0.17 - chest.clavicle_slope * (x - 0.1) + 0.028 * np.sin((x - 0.075) * 8.2)
        strokes.path(np.stack([side * x, y], axis=1), 0.26, 0.030, hollow=0.75)


def add_shoulders(strokes: Strokes, chest: Chest) -> None:
    """Outlines of the shoulder blades, and the heads and shafts of the upper arms."""
    for side in (-1.0, 1.0):
        outer = chest.inner + chest.wall
        blade = np.array([[outer + 0.03, -0.52], [outer - 0.03, -0.30], [outer - 0.10, -0.02], [outer - 0.19, 0.08]])
        strokes.path(blade * [side, 1.0], 0.085, 0.018)
        inner = np.array([[outer - 0.19, 0.08], [outer - 0.30, -0.12], [outer - 0.33, -0.38], [outer - 0.26, -0.58]])
        strokes.path(inner * [side, 1.0], 0.05, 0.010)
        spine = np.array([[outer - 0.31, -0.40], [outer - 0.12, -0.52], [outer + 0.10, -0.66]])
        strokes.path(spine * [side, 1.0], 0.07, 0.022)
        head = np.array([outer + 0.19, chest.shoulder + 0.24])
        shaft = np.array([[0.0, 0.0], [0.06, 0.3], [0.14, 0.9]]) + head
        strokes.path(shaft * [side, 1.0], 0.20, 0.058, hollow=0.8)
        strokes.path((np.array([[0.0, 0.0], [0.015, 0.03]]) + head) * [side, 1.0], 0.3, 0.10)


def add_spine(strokes: Strokes, chest: Chest) -> None:
    """Vertebral bodies: end plates, side walls, pedicles and spinous processes, repeated down the column."""
    gap = chest.rib_gap
    height = 0.36 * gap
    parts = [
        (np.array([[-0.07, -height], [0.0, 0.006 - height], [0.07, -height]]), 0.075, 0.010, 0.0),
        (np.array([[-0.07, height], [0.0, height + 0.006], [0.07, height]]), 0.075, 0.010, 0.0),
        (np.array([[-0.07, -height], [-0.062, 0.0], [-0.07, height]]), 0.05, 0.010, 0.0),
        (np.array([[0.07, -height], [0.062, 0.0], [0.07, height]]), 0.05, 0.010, 0.0),
        (np.array([[-0.043, -0.02], [-0.043, 0.012]]), 0.09, 0.018, 0.6),
        (np.array([[0.043, -0.02], [0.043, 0.012]]), 0.09, 0.018, 0.6),
        (np.array([[0.0, 0.02], [0.004, 0.55 * gap]]), 0.06, 0.010, 0.0),
    ]
    levels = np.arange(-2, 12)
    centres = np.stack([np.zeros(14), chest.rib_first + (levels + 0.15) * gap], axis=1)
    grow = np.stack([1.0 + 0.035 * (levels - 4), np.ones(14)], axis=1)
    for line, density, radius, hollow in parts:
        dense = resampled(line, 0.3 * radius)
        points = (dense[None] * grow[:, None] + centres[:, None]).reshape(-1, 2)
        strokes.add(points, np.tile(density * spacing(dense), 14), radius, hollow)


def add_airway(strokes: Strokes, chest: Chest) -> None:
    """The windpipe and the main bronchi, as air: negative strokes."""
    strokes.path(np.array([[-0.008, -1.2], [-0.008, -0.6], [0.0, -0.26]]), -0.15, 0.036)
    strokes.path(np.array([[-0.005, -0.27], [-0.06, -0.19], [-0.15, -0.10]]), -0.10, 0.022)
    strokes.path(np.array([[0.005, -0.27], [0.09, -0.19], [0.19, -0.13]]), -0.09, 0.022)


# radius and peak attenuation of the vessels, from the hila outwards
GENERATIONS = ((0.019, 0.11), (0.0135, 0.075), (0.0095, 0.05), (0.0065, 0.036), (0.0065, 0.020))
Shoots = tuple[Points, Points, Points]  # heads [N, 2], directions [N] in radians, lengths [N]


def vessel_tree(draw: np.random.Generator) -> list[tuple[Points, Points, float]]:
    """Lung vessels of one patient: (points [N, 2], weights [N], radius) per generation, branching from the hila."""
    shoots, tree = _roots(draw), []
    for generation, (radius, density) in enumerate(GENERATIONS):
        _, way, length = shoots
        along = np.linspace(0.0, 1.0, 9 if generation else 13)
        angle = way[:, None] + draw.normal(0.0, 0.22, len(way))[:, None] * along
        steps = np.stack([np.cos(angle), np.sin(angle)], axis=2) * (length / len(along))[:, None, None]
        points = shoots[0][:, None, :] + np.cumsum(steps, axis=1)
        stride = np.repeat(length / len(along), len(along))
        tree.append((points.reshape(-1, 2), density * stride * np.tile(1.0 - 0.35 * along, len(way)), radius))
        shoots = _forks(draw, points, angle, length)
        if generation >= 1:
            keep = draw.random(len(shoots[1])) < 0.62
            shoots = (shoots[0][keep], shoots[1][keep], shoots[2][keep])
    return tree


def _roots(draw: np.random.Generator) -> Shoots:
    """Nine vessels fanning out of each hilum; the left one lies higher."""
    heads, ways, lengths = [], [], []
    for side in (-1.0, 1.0):
        fan = np.deg2rad(np.linspace(-72.0, 82.0, 9) + draw.normal(0.0, 6.0, 9))
        start = np.array([side * 0.15, -0.04 - 0.03 * (side > 0)])
        heads.append(start + draw.normal(0.0, 0.015, (9, 2)))
        ways.append(np.where(side > 0, fan, np.pi - fan))
        lengths.append(draw.uniform(0.12, 0.2, 9))
    return np.concatenate(heads), np.concatenate(ways), np.concatenate(lengths)


def _forks(draw: np.random.Generator, points: Points, angle: Points, length: Points) -> Shoots:
    """Each vessel [N, P, 2] forks at its tip and gives off a branch half-way."""
    count, half = len(length), points.shape[1] // 2
    fork = np.abs(draw.normal(0.33, 0.10, count))
    aside = angle[:, half] + draw.choice([-1.0, 1.0], count) * draw.uniform(0.5, 0.9, count)
    head = np.concatenate([points[:, -1], points[:, -1], points[:, half]])
    way = np.concatenate([angle[:, -1] + fork, angle[:, -1] - fork, aside])
    return head, way, np.concatenate([length, length, length * 0.8]) * draw.uniform(0.62, 0.9, 3 * count)


def add_devices(strokes: Strokes, draw: np.random.Generator) -> None:
    """Monitoring leads with their electrodes, and sometimes a central line: patient-bound, not a finding."""
    for _ in range(int(draw.integers(2, 4))):
        spot = draw.uniform([-0.5, -0.5], [0.5, 0.45])
        end = np.array([np.sign(spot[0]) * draw.uniform(0.5, 0.9), draw.uniform(0.5, 1.1)])
        middle = (spot + end) / 2 + draw.normal(0.0, 0.12, 2)
        t = np.linspace(0.0, 1.0, 40)[:, None]
        curve = (1 - t) ** 2 * spot + 2 * t * (1 - t) * middle + t**2 * end
        strokes.path(curve, 0.11, 0.006)
        strokes.path(np.array([[0.0, 0.0], [0.004, 0.0]]) + spot, 0.5, 0.020)
    if draw.random() < 0.5:
        line = np.array([[0.72, -0.62], [0.4, -0.70], [0.1, -0.55], [-0.08, -0.35], [-0.1, -0.02]])
        smooth = resampled(line + draw.normal(0.0, 0.012, line.shape), 0.02)
        strokes.path(smooth, 0.16, 0.008)
