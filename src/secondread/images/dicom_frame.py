"""One frame of DICOM pixel data, by the one decoder of each transfer syntax, into stored values.

The size inside a compressed frame must be that of the header before its decoder is called: a small file may otherwise
ask for gigabytes.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame

from secondread.images.decode_types import Refusal
from secondread.images.dicom_codestream import codestream_facts
from secondread.images.dicom_lossless import decode_lossless
from secondread.images.dicom_rle import decode_rle

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
BIG_ENDIAN = "1.2.840.10008.1.2.2"
RLE = "1.2.840.10008.1.2.5"
JPEG_DCT = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")
JPEG_LOSSLESS = ("1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70")
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
JPEG_2000 = ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.4.201",
             "1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.203")  # fmt: skip
SYNTAXES = {
    **dict.fromkeys(NATIVE, "native"),
    RLE: "rle",
    JPEG_DCT[0]: "jpeg_baseline",
    JPEG_DCT[1]: "jpeg_extended",
    **dict.fromkeys(JPEG_LOSSLESS, "jpeg_lossless"),
    **dict.fromkeys(JPEG_LS, "jpeg_ls"),
    **dict.fromkeys(JPEG_2000, "jpeg_2000"),
}
Stored = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.int16]


@dataclass(frozen=True)
class Shape:
    """Layout of the pixel data as the header tells it, checked."""

    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    signed: bool
    planar: int
    photometric: str
    frames: int

    @property
    def frame_bytes(self) -> int:
        if self.photometric == "YBR_FULL_422":
            return self.rows * self.columns * 2
        return self.rows * self.columns * self.samples * self.allocated // 8


def decode_frame(dataset: Dataset, shape: Shape, syntax: str) -> Stored:
    """The first frame: stored values [H, W], or RGB and palette indices as they stand [H, W, 3] / [H, W]."""
    if syntax in NATIVE:
        return _native(_in_order(dataset, shape, syntax), shape, syntax)
    frame = get_frame(dataset.PixelData, 0, number_of_frames=shape.frames)
    if syntax == RLE:
        return _from_bytes(decode_rle(frame, shape), shape, "<", planar=1)
    _check_codestream(frame, shape)
    if syntax in JPEG_DCT:
        return _by_pillow(frame, shape)
    if syntax in JPEG_LOSSLESS:
        return decode_lossless(frame)
    return _by_charls(frame, shape) if syntax in JPEG_LS else _by_openjpeg(frame)


def _in_order(dataset: Dataset, shape: Shape, syntax: str) -> bytes:
    """The pixel data; 8-bit samples in big-endian 16-bit words stand in exchanged pairs."""
    data = bytes(dataset.PixelData)
    if syntax == BIG_ENDIAN and shape.allocated == 8 and dataset["PixelData"].VR == "OW":
        return np.frombuffer(data[: len(data) // 2 * 2], ">u2").astype("<u2").tobytes()
    return data


def _native(data: bytes, shape: Shape, syntax: str) -> Stored:
    expected = shape.frame_bytes * shape.frames
    if len(data) not in (expected, expected + expected % 2):
        code = "truncated" if len(data) < expected else "damaged"
        raise Refusal(code, f"the pixel data has {len(data)} bytes where its header calls for {expected}")
    if shape.photometric == "YBR_FULL_422":
        return _full_colour(np.frombuffer(data[: shape.frame_bytes], np.uint8), shape)
    return _from_bytes(data[: shape.frame_bytes], shape, ">" if syntax == BIG_ENDIAN else "<", planar=shape.planar)


def _from_bytes(data: bytes, shape: Shape, order: str, *, planar: int) -> Stored:
    values: NDArray[Any] = np.frombuffer(data, f"{order}u{shape.allocated // 8}")
    if shape.samples == 1:
        return values.reshape(shape.rows, shape.columns)
    if planar:
        return np.moveaxis(values.reshape(shape.samples, shape.rows, shape.columns), 0, 2)
    return values.reshape(shape.rows, shape.columns, shape.samples)


def _full_colour(values: NDArray[np.uint8], shape: Shape) -> NDArray[np.uint8]:
    """Y1 Y2 Cb Cr of each pair of pixels to three samples a pixel (DICOM PS3.3 C.7.6.3.1.2)."""
    if shape.columns % 2 or shape.allocated != 8:
        raise Refusal("unsupported_colour", "4:2:2 colour needs an even width and 8 bits")
    pairs = values.reshape(shape.rows, shape.columns // 2, 4)
    luma = pairs[..., :2].reshape(shape.rows, shape.columns)
    chroma = np.repeat(pairs[..., 2:], 2, axis=1)
    return np.dstack([luma, chroma])


def _check_codestream(frame: bytes, shape: Shape) -> None:
    facts = codestream_facts(frame)
    if (facts.rows, facts.columns, facts.samples) != (shape.rows, shape.columns, shape.samples):
        raise Refusal(
            "damaged",
            f"the compressed frame is {facts.columns} by {facts.rows} by {facts.samples}, "
            f"the header says {shape.columns} by {shape.rows} by {shape.samples}",
        )
    if facts.bits > shape.allocated:
        raise Refusal("damaged", f"the compressed frame has {facts.bits} bits, the header allows {shape.allocated}")


def _by_pillow(frame: bytes, shape: Shape) -> Stored:
    from PIL import Image

    if codestream_facts(frame).bits != 8:
        raise Refusal("unsupported_syntax", "12-bit lossy JPEG is not read; re-save it lossless (dcmdjpeg)")
    try:
        image = Image.open(io.BytesIO(frame), formats=("JPEG",))
        if shape.photometric == "RGB" and "adobe" not in image.info:
            image.draft("YCbCr", image.size)  # three components without a mark pass for YCbCr; these are RGB as stored
        image.load()
    except OSError as error:
        raise Refusal("damaged", f"the JPEG frame cannot be decoded: {str(error)[:100]}") from error
    if shape.samples == 1:
        return np.asarray(image.convert("L"), dtype=np.uint8)
    return np.asarray(image if image.mode == "YCbCr" else image.convert("RGB"), dtype=np.uint8)


def _by_charls(frame: bytes, shape: Shape) -> Stored:
    import jpeg_ls

    data, facts = jpeg_ls.decode_pixel_data(frame)
    wide = 1 if facts["bits_per_sample"] <= 8 else 2
    inner = Shape(**{**shape.__dict__, "allocated": 8 * wide})
    if len(data) != inner.rows * inner.columns * inner.samples * wide:
        raise Refusal("damaged", "the JPEG-LS frame cannot be decoded")
    return _from_bytes(bytes(data), inner, "<", planar=1 if facts["interleave_mode"] == 0 else 0)


def _by_openjpeg(frame: bytes) -> Stored:
    from openjpeg.utils import decode

    decoded: Stored = decode(frame)
    return decoded
