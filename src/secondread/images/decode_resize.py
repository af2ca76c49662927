"""From decoded pixels to the size a model takes: crop the border, fit, resize.

The filter is Pillow's antialiased bilinear (a triangle whose support grows with the reduction), the same everywhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.images.decode_types import Fit

FILTER = Image.Resampling.BILINEAR


def resize_to(
    pixels: NDArray[np.uint8], size: int | tuple[int, int], fit: Fit = "stretch", crop_border: float = 0.0
) -> NDArray[np.uint8]:
    """uint8 [H, W] or [H, W, 3] at `size` (side, or height and width).

    `stretch` ignores the aspect, `pad` keeps it and fills with black, `crop` keeps it and cuts the centre.
    `crop_border` is the share of width and height cut from each side first.
    """
    height, width = (size, size) if isinstance(size, int) else size
    pixels = without_border(pixels, crop_border)
    if fit == "crop":
        pixels = _centre_of_aspect(pixels, height, width)
    if fit == "pad":
        return _padded(pixels, height, width)
    return _resized(pixels, height, width)


def without_border(pixels: NDArray[np.uint8], share: float) -> NDArray[np.uint8]:
    height, width = pixels.shape[:2]
    top, left = int(height * share), int(width * share)
    return pixels[top : height - top, left : width - left] if top or left else pixels


def needed_before_resize(size: int | tuple[int, int], crop_border: float = 0.0) -> tuple[int, int]:
    """(width, height) that the decoded image must at least have for `size` to be a reduction after the cut."""
    height, width = (size, size) if isinstance(size, int) else size
    kept = max(1.0 - 2.0 * crop_border, 0.1)
    return int(np.ceil(width / kept)), int(np.ceil(height / kept))


def _resized(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    if pixels.shape[:2] == (height, width):
        return np.ascontiguousarray(pixels)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), FILTER), dtype=np.uint8)


def _centre_of_aspect(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    have_height, have_width = pixels.shape[:2]
    keep_height = min(have_height, max(1, round(have_width * height / width)))
    keep_width = min(have_width, max(1, round(have_height * width / height)))
    top, left = (have_height - keep_height) // 2, (have_width - keep_width) // 2
    return pixels[top : top + keep_height, left : left + keep_width]


def _padded(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    have_height, have_width = pixels.shape[:2]
    scale = min(height / have_height, width / have_width)
    inner = max(1, min(height, round(have_height * scale))), max(1, min(width, round(have_width * scale)))
    canvas = np.zeros((height, width, *pixels.shape[2:]), dtype=np.uint8)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    canvas[top : top + inner[0], left : left + inner[1]] = _resized(pixels, *inner)
    return canvas
