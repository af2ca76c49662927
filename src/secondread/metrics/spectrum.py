"""Are images as sharp as others? Their power by spatial frequency, which features of small networks hardly see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

RINGS = 8


def spectral_distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """Root mean square difference of the log power in rings of spatial frequency; 0 for the same spectrum.

    first, second: images [N, S, S] or [M, S, S, 3], any two numbers of them. 0.69 is twice the power in every ring.
    Blur lacks power in the outer rings, the chequered noise of transposed convolutions has too much of it there
    (Durall et al., CVPR 2020, arXiv 2003.01826).
    """
    return float(np.sqrt(np.mean((_log_power(first) - _log_power(second)) ** 2)))


def _log_power(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Log of the mean power in each ring [RINGS] between frequency 0 and ½ per pixel; a Hann window hides the edges."""
    grey = images.astype(np.float64)
    grey = grey.mean(axis=3) if grey.ndim == 4 else grey
    size = grey.shape[1]
    window = np.hanning(size)
    centred = (grey - grey.mean(axis=(1, 2), keepdims=True)) * window[:, None] * window[None, :]
    power = (np.abs(np.fft.fft2(centred)) ** 2).mean(axis=0)
    frequency = np.fft.fftfreq(size)
    ring = (np.hypot(frequency[:, None], frequency[None, :]) * 2 * RINGS).astype(int)
    rings: NDArray[np.float64] = np.array([power[ring == one].mean() for one in range(RINGS)])
    return np.log1p(rings, out=rings)
