"""How true a reconstruction is: PSNR and SSIM beside a plain resize that keeps as many values, and a picture of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from secondread.core.files import write_with

Pixels = NDArray[np.uint8]
WHITE = 255.0
SSIM_SIGMA, SSIM_REACH = 1.5, 5  # an 11×11 window
SSIM_C1, SSIM_C2 = (0.01 * WHITE) ** 2, (0.03 * WHITE) ** 2


def psnr(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio [N] in dB of images [N,H,W(,3)]; infinite where they are the same."""
    error = ((first.astype(np.float64) - second) ** 2).reshape(len(first), -1).mean(axis=1)
    with np.errstate(divide="ignore"):
        ratio: NDArray[np.float64] = 10 * np.log10(WHITE**2 / error)
    return ratio


def ssim(first: Pixels, second: Pixels) -> NDArray[np.float64]:
    """Structural similarity [N] of images [N,H,W(,3)] (Wang et al. 2004): Gaussian window, borders left out."""
    return np.asarray([_ssim(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(first, second, strict=True)])


def _ssim(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    def blurred(image: NDArray[np.float64]) -> NDArray[np.float64]:
        sigma = (SSIM_SIGMA, SSIM_SIGMA, 0.0)[: image.ndim]
        radius = (SSIM_REACH, SSIM_REACH, 0)[: image.ndim]
        smooth: NDArray[np.float64] = gaussian_filter(image, sigma, radius=radius)
        return smooth[SSIM_REACH:-SSIM_REACH, SSIM_REACH:-SSIM_REACH]

    mean_a, mean_b = blurred(a), blurred(b)
    var_a, var_b = blurred(a * a) - mean_a**2, blurred(b * b) - mean_b**2
    both = blurred(a * b) - mean_a * mean_b
    above = (2 * mean_a * mean_b + SSIM_C1) * (2 * both + SSIM_C2)
    below = (mean_a**2 + mean_b**2 + SSIM_C1) * (var_a + var_b + SSIM_C2)
    return float((above / below).mean())


def compare_with_resize(images: Pixels, rebuilt: Pixels, values: int) -> pd.DataFrame:
    """Mean PSNR and SSIM of the reconstruction, and of the image resized to at most `values` numbers and back.

    A code is kept as 32-bit floats, a resized image as bytes: `bits` says what each really takes.
    """
    size = images.shape[1]
    channels = images.shape[3] if images.ndim == 4 else 1
    side = min(int(np.sqrt(values / channels)), size)
    small = np.stack([_resized(_resized(image, side), size) for image in images])
    pixels = size * size * channels
    rows = [("autoencoder", rebuilt, values, 32), ("resize", small, side * side * channels, 8)]
    return pd.DataFrame([
        {"method": name, "values": kept, "share_of_pixels": kept / pixels, "bits": kept * each,
         "psnr": float(np.mean(np.minimum(psnr(images, made), 100.0))), "ssim": float(np.mean(ssim(images, made))),
         "images": len(images)}
        for name, made, kept, each in rows
    ])  # fmt: skip


def save_panel(images: Pixels, rebuilt: Pixels, path: Path, gap: int = 4) -> None:
    """Originals above, reconstructions below, as one PNG."""
    count, height, width = images.shape[:3]
    shape = (2 * height + 3 * gap, count * (width + gap) + gap, *images.shape[3:])
    panel = np.full(shape, 255, np.uint8)
    for row, pictures in enumerate((images, rebuilt)):
        for column, picture in enumerate(pictures):
            top, left = gap + row * (height + gap), gap + column * (width + gap)
            panel[top : top + height, left : left + width] = picture
    write_with(path, lambda temporary: Image.fromarray(panel).save(temporary, "PNG"))


def _resized(image: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
