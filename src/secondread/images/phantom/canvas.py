"""Where things are drawn: the grid in anatomy coordinates, soft shapes, textures and strokes.

Anatomy coordinates run over [-1, 1]², X to the right (the patient's left is +X), Y downwards. Every shape is given in
them and sampled at the pixels, so a phantom keeps its anatomy at any size.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, special

Plane = NDArray[np.float32]
TEXTURE_SIDE = 192
NOMINAL = (
    2.1  # width of a picture in anatomy units that the radii of strokes refer to: the same discs for every exposure
)
TEXTURE_REACH = 1.5  # half-width of a texture in anatomy coordinates


@dataclass(frozen=True)
class Frame:
    """A square picture of `size` pixels: anatomy place = `matrix` @ (x, y in [-1, 1] of the picture) + `shift`."""

    size: int
    matrix: NDArray[np.float64]
    shift: NDArray[np.float64]
    X: Plane = field(init=False, repr=False)
    Y: Plane = field(init=False, repr=False)

    def __post_init__(self) -> None:
        side = (2.0 * (np.arange(self.size) + 0.5) / self.size - 1.0).astype(np.float32)
        (a, b), (c, d) = self.matrix.astype(np.float32)
        object.__setattr__(self, "X", a * side[None, :] + b * side[:, None] + np.float32(self.shift[0]))
        object.__setattr__(self, "Y", c * side[None, :] + d * side[:, None] + np.float32(self.shift[1]))

    @property
    def pixels_per_unit(self) -> float:
        return self.size / 2.0 / float(np.sqrt(abs(np.linalg.det(self.matrix))))

    def to_pixels(self, points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Anatomy points [N, 2] as fractional pixel positions: columns [N], rows [N]."""
        (a, b), (c, d) = self.matrix
        unit = self.size / 2.0
        x, y = points[:, 0] - self.shift[0], points[:, 1] - self.shift[1]
        scale = unit / (a * d - b * c)
        return (d * x - b * y) * scale + (unit - 0.5), (a * y - c * x) * scale + (unit - 0.5)


def positioned(
    size: int, rotation: float, zoom: float, shift: tuple[float, float], stretch: tuple[float, float]
) -> Frame:
    """The frame of an exposure: rotation in degrees, zoom and shift of the patient, stretch of the anatomy."""
    angle = np.deg2rad(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.diag([1.0 / stretch[0], 1.0 / stretch[1]])
    return Frame(size, scale @ (zoom * turn), scale @ np.array(shift))


def step(distance: Plane, width: float) -> Plane:
    """A soft edge of the given width: near 1 where the distance is positive, near 0 where it is negative."""
    rising = np.exp(np.minimum(distance * np.float32(-1.0 / width), np.float32(30.0)))
    result: Plane = np.float32(1.0) / (np.float32(1.0) + rising)
    return result


def chord(squared: Plane) -> Plane:
    """The path through a unit sphere at a squared distance from its centre, as a share of the diameter."""
    result: Plane = np.sqrt(np.maximum(np.float32(1.0) - squared, np.float32(0.0)))
    return result


def bell(squared: Plane) -> Plane:
    """exp(-squared)."""
    result: Plane = np.exp(-squared)
    return result


def ellipse(frame: Frame, centre: tuple[float, float], axes: tuple[float, float], tilt: float = 0.0) -> Plane:
    """The squared elliptical distance from a centre: 1 on the outline. The tilt is in degrees, clockwise."""
    cos, sin = np.float32(np.cos(np.deg2rad(tilt))), np.float32(np.sin(np.deg2rad(tilt)))
    x, y = frame.X - np.float32(centre[0]), frame.Y - np.float32(centre[1])
    along = (cos * x + sin * y) * np.float32(1.0 / axes[0])
    across = (cos * y - sin * x) * np.float32(1.0 / axes[1])
    result: Plane = along * along + across * across
    return result


@lru_cache(maxsize=32)
def _spectrum(side: int, slope: float, low: float, high: float) -> Plane:
    """Amplitudes f^(-slope/2) between two frequencies in cycles per unit of anatomy."""
    per_unit = side / (2.0 * TEXTURE_REACH)
    rows = fft.fftfreq(side)[:, None] * per_unit
    columns = fft.rfftfreq(side)[None, :] * per_unit
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = np.inf
    shape = frequency ** (-slope / 2.0)
    shape[(frequency < low) | (frequency > high)] = 0.0
    return shape.astype(np.float32)


def texture(
    draw: np.random.Generator, slope: float, low: float, high: float = np.inf, side: int = TEXTURE_SIDE
) -> Plane:
    """A field of unit variance with a power spectrum f^-slope, `low` ≤ f ≤ `high` in cycles per unit of anatomy."""
    white = draw.standard_normal((side, side), dtype=np.float32)
    field_ = fft.irfft2(fft.rfft2(white) * _spectrum(side, slope, low, high), s=(side, side))
    result: Plane = (field_ / (field_.std() + 1e-9)).astype(np.float32)
    return result


def laid_on(frame: Frame, pattern: Plane) -> Plane:
    """A texture sampled at the pixels of a frame: it moves, turns and scales with the anatomy."""
    side = pattern.shape[0]
    scale = side / (2.0 * TEXTURE_REACH)
    step_ = 2.0 / frame.size
    flip = np.array([[0.0, 1.0], [1.0, 0.0]])
    matrix = flip @ frame.matrix @ flip * step_ * scale
    first = frame.matrix @ np.full(2, -1.0 + 1.0 / frame.size) + frame.shift
    offset = (first[::-1] + TEXTURE_REACH) * scale - 0.5
    result: Plane = ndimage.affine_transform(
        pattern,
        matrix,
        offset=offset,
        output_shape=(frame.size, frame.size),
        order=1,
        mode="grid-wrap",
        prefilter=False,
    )
    return result


class Strokes:
    """Lines of round cross-section: points with weights, splatted and convolved with a disc in the Fourier domain.

    The convolution of a line with a disc is the path length through a tube; weights that follow the length in space
    brighten a tube where it runs along the beam, as the ribs do at the chest wall. Exact below the pixel.
    """

    def __init__(self) -> None:
        self.kinds: dict[tuple[float, float], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def add(
        self, points: NDArray[np.float64], weights: NDArray[np.float64], radius: float, hollow: float = 0.0
    ) -> None:
        """Anatomy points [N, 2]; weights [N] = attenuation × length in anatomy units; `hollow` empties the core."""
        known = self.kinds.get((radius, hollow))
        if known is not None:
            points, weights = np.concatenate([known[0], points]), np.concatenate([known[1], weights])
        self.kinds[radius, hollow] = (points, weights)

    def path(self, points: NDArray[np.float64], height: float, radius: float, hollow: float = 0.0) -> None:
        """A polyline [N, 2] of peak attenuation `height`, resampled finely enough for its radius."""
        dense = resampled(points, radius * 0.25)
        self.add(dense, height * spacing(dense), radius, hollow)

    def drawn(self, frame: Frame) -> Plane:
        """The attenuation of all strokes on a grid, [size, size]."""
        size, total = frame.size, None
        margin = max(4, size // 12)
        side = int(fft.next_fast_len(size + margin, real=True))
        scale = frame.pixels_per_unit
        for (radius, hollow), (points, weights) in self.kinds.items():
            spots = fft.rfft2(_splat(*frame.to_pixels(points), weights * scale, side, margin // 2))
            spots *= _disc(side, radius * size / NOMINAL, hollow)
            total = spots if total is None else total + spots
        if total is None:
            return np.zeros((size, size), np.float32)
        near = margin // 2
        result: Plane = fft.irfft2(total, s=(side, side))[near : near + size, near : near + size]
        return result


def _splat(
    x: NDArray[np.float64], y: NDArray[np.float64], weights: NDArray[np.float64], side: int, margin: int
) -> Plane:
    """Bilinear shares of weighted points on a grid of `side`² with a margin; points outside are left out."""
    x, y = x + margin, y + margin
    inside = (x >= 0) & (y >= 0) & (x < side - 1) & (y < side - 1)
    x, y, weights = x[inside], y[inside], weights[inside]
    column, row = x.astype(np.int64), y.astype(np.int64)
    right, down = x - column, y - row
    cell = row * side + column
    places = np.concatenate([cell, cell + 1, cell + side, cell + side + 1])
    left, up = weights * (1 - right), weights * right
    shares = np.concatenate([left * (1 - down), up * (1 - down), left * down, up * down])
    return np.bincount(places, shares, minlength=side * side).reshape(side, side).astype(np.float32)


@lru_cache(maxsize=128)
def _disc(side: int, radius: float, hollow: float) -> Plane:
    """Fourier transform of a disc over its diameter, lightly smoothed against ringing; the core may be hollow."""
    frequency = np.hypot(fft.fftfreq(side)[:, None], fft.rfftfreq(side)[None, :])
    frequency[0, 0] = 1e-6

    def transform(r: float) -> NDArray[np.float64]:
        return np.asarray(r * special.j1(2 * np.pi * r * frequency) / frequency)

    kernel = transform(radius) - (hollow * transform(0.7 * radius) if hollow else 0.0)
    soft = np.exp(-2.0 * (np.pi * 0.5 * frequency) ** 2)
    return (kernel / (2.0 * radius) * soft).astype(np.float32)


def resampled(points: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """A polyline [N, D] with points about `distance` apart."""
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    count = max(2, int(np.ceil(lengths[-1] / max(distance, 1e-4))) + 1)
    at = np.linspace(0.0, lengths[-1], count)
    return np.stack([np.interp(at, lengths, points[:, axis]) for axis in range(points.shape[1])], axis=1)


def spacing(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The length of polyline that each of its points [N, D] stands for."""
    gaps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([gaps[:1] / 2, (gaps[1:] + gaps[:-1]) / 2, gaps[-1:] / 2])
