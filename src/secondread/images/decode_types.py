"""What decoding gives and what it refuses: the types shared by raster files and DICOM."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import BadData

DECODER_VERSION = "3"
"""Raised whenever the same bytes would give other pixels; part of every cache key and card."""

Intensity = Literal["full_range", "percentile", "window"]
Fit = Literal["stretch", "pad", "crop"]

PERCENTILES = (0.5, 99.5)


class Refusal(BadData):
    """An image that is not read, with a short `code` for tables and a reason of one line for people."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return Refusal, (self.code, self.reason)


@dataclass(frozen=True)
class DecodePolicy:
    """Limits, checked before anything is decoded, and the choices that are not the image's own."""

    frames: Literal["refuse", "first"] = "refuse"
    max_bytes: int = 256 * 2**20
    max_pixels: int = 80_000_000
    max_side: int = 30_000
    refuse_constant: bool = False
    channels: Literal[1, 3] | None = None
    """1 asks for grey pixels, which makes large JPEG files faster to decode; None keeps what the file has."""


@dataclass(frozen=True)
class FileFacts:
    """What the file says about itself; width and height are those of the upright image."""

    format: str
    mode: str
    """Pixel layout as stored: Pillow's name of it, or DICOM's photometric interpretation."""
    width: int
    height: int
    bits: int
    channels: int
    bytes: int
    compression: str = "none"
    quality: float | None = None
    """Estimated JPEG quality (IJG scale 1-100)."""
    exif_orientation: int = 1
    frames: int = 1
    software: str = ""


@dataclass(frozen=True)
class Display:
    """How DICOM wants its grey values shown: stored values -> modality units -> window or table -> inversion."""

    slope: float = 1.0
    intercept: float = 0.0
    first: int = 0
    """Stored value (or modality table entry) of pixel value 0 before inversion."""
    inverted: bool = False
    center: float | None = None
    width: float | None = None
    function: Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"] = "LINEAR"
    table: NDArray[np.uint16] | None = field(default=None, repr=False, compare=False)
    table_first: int = 0
    table_bits: int = 8


@dataclass(frozen=True)
class Decoded:
    """One image: 0 is black and `2**bits - 1` white, whatever the polarity in the file.

    `pixels` is [H, W] when `grey`, else [H, W, 3]; uint8 for `bits` <= 8, else uint16. `reduced` says by what factor a
    JPEG file was scaled down while it was decoded (1: not at all). `padding` [H, W] is where a DICOM file says that
    nothing was measured: black in `pixels`, under every mapping, and no part of what a mapping is taken from.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bits: int
    facts: FileFacts
    tags: dict[str, str] = field(default_factory=dict)
    display: Display | None = None
    reduced: int = 1
    padding: NDArray[np.bool_] | None = field(default=None, repr=False, compare=False)

    @property
    def measured(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The pixels that are no padding, [M] where there is any; all of them where there is nothing else."""
        if self.padding is None or self.padding.all():
            return self.pixels
        return self.pixels[~self.padding]

    @property
    def grey(self) -> bool:
        return self.pixels.ndim == 2

    def to_uint8(self, intensity: Intensity = "full_range") -> NDArray[np.uint8]:
        """Pixels as uint8 under a named mapping (see `images.decode_intensity`)."""
        from secondread.images.decode_intensity import to_uint8

        return to_uint8(self, intensity)

    def every(self, step: int) -> Decoded:
        """Of every `step` rows and columns the first."""
        padding = None if self.padding is None else self.padding[::step, ::step]
        return replace(self, pixels=self.pixels[::step, ::step], padding=padding)
