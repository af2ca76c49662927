"""How more than 8 bits become uint8: named choices, one of which every card records.

- `full_range`: the whole range the stored bits can hold is spread over 0..255. The same picture stored with 8, 12 or 16
  bits gives the same pixels.
- `percentile`: from the 0.5th to the 99.5th percentile of this image, clipped. For files that use a small part of
  their range.
- `window`: the window or table that DICOM asks to be shown with; `full_range` where the file has none.

Images of at most 8 bits without a window are never changed. What DICOM calls padding is black under all of them, and
percentiles are those of the other pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from secondread.images.decode_types import PERCENTILES, Decoded, Display, Intensity


def to_uint8(decoded: Decoded, intensity: Intensity) -> NDArray[np.uint8]:
    """Pixels [H, W] or [H, W, 3] as uint8 under the named mapping."""
    pixels = decoded.pixels
    if intensity == "window" and decoded.display is not None and _has_window(decoded.display):
        shown = _through(_windowed_table(decoded.display, decoded.bits), pixels)
        return shown if decoded.padding is None else np.where(decoded.padding, np.uint8(0), shown)
    if decoded.bits == 8:
        return pixels.astype(np.uint8, copy=False)
    if intensity == "percentile" and decoded.bits > 8:
        low, high = np.percentile(decoded.measured, PERCENTILES)
    else:
        low, high = 0.0, float(2**decoded.bits - 1)
    return _through(_linear_table(low, high, decoded.bits), pixels)


def display_pixels(decoded: Decoded) -> NDArray[np.uint8]:
    """Pixels for human eyes: DICOM's window or table where there is one; never what a model is given by default."""
    if decoded.display is not None and _has_window(decoded.display):
        return to_uint8(decoded, "window")
    return to_uint8(decoded, "percentile")


def _has_window(display: Display) -> bool:
    return display.table is not None or display.width is not None


def _through(table: NDArray[np.uint8], pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    return table[pixels]


def _linear_table(low: float, high: float, bits: int) -> NDArray[np.uint8]:
    """uint8 value of each of the 2**bits grey values, `low` -> 0 and `high` -> 255."""
    values = np.arange(2**bits, dtype=np.float64)
    return _rounded((values - low) / max(high - low, 1e-9))


def _windowed_table(display: Display, bits: int) -> NDArray[np.uint8]:
    """uint8 value of each upright grey value, by the file's VOI table or window (DICOM PS3.3 C.11.2)."""
    values = np.arange(2**bits, dtype=np.float64)
    if display.inverted:
        values = values[::-1]  # back to the stored order: the window speaks of it, inversion comes after
    units = (values + display.first) * display.slope + display.intercept
    if display.table is not None:
        at = np.clip(np.round(units) - display.table_first, 0, len(display.table) - 1).astype(np.int64)
        shown = display.table[at] / float(2**display.table_bits - 1)
    else:
        shown = _window(units, display)
    return _rounded(1.0 - shown if display.inverted else shown)


def _window(units: NDArray[np.float64], display: Display) -> NDArray[np.float64]:
    """DICOM PS3.3 C.11.2.1.2 (linear), C.11.2.1.3.1 (sigmoid) and C.11.2.1.3.2 (linear exact), to 0..1."""
    assert display.width is not None
    assert display.center is not None
    center, width = display.center, display.width
    if display.function == "SIGMOID":
        return np.asarray(1.0 / (1.0 + np.exp(np.clip(-4.0 * (units - center) / max(width, 1e-9), -700, 700))))
    if display.function == "LINEAR_EXACT":
        return (units - center) / max(width, 1e-9) + 0.5
    if width <= 1:
        return np.where(units > center - 0.5, 1.0, 0.0)
    return (units - (center - 0.5)) / (width - 1.0) + 0.5


def _rounded(shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(np.floor(np.clip(shares, 0.0, 1.0) * 255.0 + 0.5)).astype(np.uint8)
