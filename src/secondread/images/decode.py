"""One way from a file to pixels, for training, audit, reading and the web alike.

`decode` tells files apart by their content and either gives a `Decoded` image or raises a typed `Refusal`; hostile
bytes lead to nothing else. `to_model_input` turns it into what a model takes; `read_pixels` does both at once.
"""

from __future__ import annotations

import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.core.errors import BadData
from secondread.images.decode_intensity import display_pixels
from secondread.images.decode_resize import needed_before_resize, resize_to
from secondread.images.decode_types import DECODER_VERSION, Decoded, DecodePolicy, FileFacts, Fit, Intensity, Refusal

__all__ = [
    "DECODER_VERSION", "UNREADABLE", "DecodePolicy", "Decoded", "FileFacts", "Fit", "Intensity", "PixelSpec", "Refusal",
    "decode", "decode_for", "display_pixels", "read_bytes", "read_pixels", "resize_to", "to_model_input",
]  # fmt: skip

DEFAULT_POLICY = DecodePolicy()
UNREADABLE = "unreadable"
"""The code of a refusal that is the fault of the disk or of permissions, not of the file's bytes."""
UNHELD = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How a file is opened: a pipe in its place does not hold us up, and Windows leaves the bytes alone."""


@dataclass(frozen=True)
class PixelSpec:
    """What a model takes: uint8 of this size, fit and number of channels, made under this intensity mapping."""

    size: int
    fit: Fit = "stretch"
    channels: int = 1
    intensity: Intensity = "full_range"
    crop_border: float = 0.0


def decode(
    source: Path | bytes, *, policy: DecodePolicy = DEFAULT_POLICY, target: tuple[int, int] | None = None
) -> Decoded:
    """The image in a file (or in the bytes of one), upright and with black at 0.

    `target` is the least (width, height) that is needed: a large JPEG file may then be decoded at half, a quarter or an
    eighth of its size, never below twice the target. Raises `Refusal` and nothing else.
    """
    content = source if isinstance(source, bytes) else read_bytes(source, policy)
    if not content:
        raise Refusal("empty", "the file is empty")
    if len(content) > policy.max_bytes:
        raise Refusal("too_large", f"the file has {len(content)} bytes; at most {policy.max_bytes} are read")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # libraries warn about what is refused or mended here anyway
            decoded = _decode(content, policy, target)
    except BadData:
        raise
    except (MemoryError, Image.DecompressionBombError) as error:
        raise Refusal("too_large", "the image does not fit into memory") from error
    except Exception as error:  # hostile bytes make decoders raise anything; the caller is told one thing
        raise Refusal("damaged", f"the image cannot be decoded: {type(error).__name__}: {str(error)[:100]}") from error
    if policy.refuse_constant and decoded.measured.min() == decoded.measured.max():
        raise Refusal("constant", "every pixel of the image has the same value")
    return decoded


def _decode(content: bytes, policy: DecodePolicy, target: tuple[int, int] | None) -> Decoded:
    if content[128:132] == b"DICM":
        from secondread.images.dicom import decode_dicom  # pydicom takes longer to import than a PNG to decode

        return decode_dicom(content, policy)
    from secondread.images.decode_raster import decode_raster

    return decode_raster(content, policy, target)


def read_bytes(path: Path, policy: DecodePolicy = DEFAULT_POLICY) -> bytes:
    """The bytes of a regular file of acceptable size; raises `Refusal`."""
    try:
        with open(os.open(path, UNHELD), "rb") as opened:
            told = os.fstat(opened.fileno())
            if not stat.S_ISREG(told.st_mode):
                raise Refusal("not_a_file", "not a regular file")
            if told.st_size > policy.max_bytes:
                raise Refusal("too_large", f"the file has {told.st_size} bytes; at most {policy.max_bytes} are read")
            return opened.read(policy.max_bytes + 1)
    except OSError as error:
        code = "not_a_file" if isinstance(error, IsADirectoryError) else UNREADABLE
        raise Refusal(code, f"the file cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a null byte in the name
        raise Refusal(UNREADABLE, "the file's name is not one") from error


def to_model_input(decoded: Decoded, spec: PixelSpec) -> NDArray[np.uint8]:
    """uint8 [size, size] for one channel, [size, size, 3] for three."""
    pixels = decoded.to_uint8(spec.intensity)
    if spec.channels == 1 and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.uint8)
    pixels = resize_to(pixels, spec.size, spec.fit, spec.crop_border)
    if spec.channels == 3 and pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return pixels


def read_pixels(source: Path | bytes, spec: PixelSpec, policy: DecodePolicy = DEFAULT_POLICY) -> NDArray[np.uint8]:
    """A file as a model takes it, by the shortest way: the same pixels in the cache and when a bundle reads."""
    return to_model_input(decode_for(source, spec, policy), spec)


def decode_for(source: Path | bytes, spec: PixelSpec, policy: DecodePolicy = DEFAULT_POLICY) -> Decoded:
    """`decode` with the target and channels of `spec`; `to_model_input` of it is what the cache holds."""
    wanted = DecodePolicy(**{**policy.__dict__, "channels": 1 if spec.channels == 1 else None})
    return decode(source, policy=wanted, target=needed_before_resize(spec.size, spec.crop_border))
