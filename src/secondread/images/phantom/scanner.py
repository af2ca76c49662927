"""From tissue to grey values of a magnetic resonance scanner: coil shading, blur, Rician noise, display window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from secondread.images.phantom.canvas import Frame, Plane


@dataclass(frozen=True)
class Scanner:
    """One site's scanner: coil shading, blur in pixels at 224, noise, display gamma, burnt-in marker."""

    name: str
    shading: float
    blur: float
    noise: float
    gamma: float
    marker: bool = False


SCANNERS = {
    "A": Scanner("A", 0.10, 0.55, 0.016, 1.0),
    "B": Scanner("B", 0.22, 0.80, 0.028, 0.88, marker=True),
    "C": Scanner("C", 0.06, 0.40, 0.012, 1.12),
}


def magnitude(tissue: Plane, frame: Frame, scanner: Scanner, draw: np.random.Generator) -> Plane:
    """Grey values in [0, 1] of a tissue image [S, S]. The window is fixed: a tumour changes nothing elsewhere."""
    a, b, c, gain = draw.normal(0.0, 1.0, 4)
    field = (
        np.float32(a) * frame.X + np.float32(b) * frame.Y + np.float32(c) * (frame.X**2 + frame.Y**2 - np.float32(0.5))
    )
    signal = tissue * (np.float32(1.0) + np.float32(scanner.shading) * np.tanh(field))
    signal = ndimage.gaussian_filter(signal, scanner.blur * frame.size / 224.0, truncate=3.0)
    real = signal + np.float32(scanner.noise) * draw.standard_normal(signal.shape, dtype=np.float32)
    imaginary = np.float32(scanner.noise) * draw.standard_normal(signal.shape, dtype=np.float32)
    level = np.sqrt(real * real + imaginary * imaginary) - np.float32(1.2 * scanner.noise)
    result: Plane = np.clip(level * np.float32(1.0 + 0.05 * gain), 0.0, 1.0)
    return result if scanner.gamma == 1.0 else np.power(result, np.float32(scanner.gamma))
