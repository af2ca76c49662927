"""DICOM's RLE (PackBits by byte plane, PS3.5 Annex G), bounded: it stops where the frame is full."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from secondread.images.decode_types import Refusal

if TYPE_CHECKING:
    from secondread.images.dicom_frame import Shape

HEADER = 64


def decode_rle(frame: bytes, shape: Shape) -> bytes:
    """The frame as little-endian samples, plane after plane; raises `Refusal`."""
    planes = shape.samples * shape.allocated // 8
    pixels = shape.rows * shape.columns
    bounds = _segments(frame, planes)
    order = shape.allocated // 8
    decoded = np.empty((shape.samples, pixels, order), dtype=np.uint8)
    for plane, (start, end) in enumerate(bounds):
        sample, from_top = divmod(plane, order)
        decoded[sample, :, order - 1 - from_top] = np.frombuffer(_unpack(frame[start:end], pixels), np.uint8)
    return decoded.tobytes()


def _segments(frame: bytes, planes: int) -> list[tuple[int, int]]:
    if len(frame) < HEADER:
        raise Refusal("truncated", "the RLE frame is cut short")
    header = np.frombuffer(frame[:HEADER], "<u4")
    if int(header[0]) != planes:
        raise Refusal("damaged", f"the RLE frame has {int(header[0])} planes where its header calls for {planes}")
    starts = [int(offset) for offset in header[1 : planes + 1]]
    ends = [*starts[1:], len(frame)]
    if starts[0] != HEADER or any(start >= end for start, end in zip(starts, ends, strict=True)):
        raise Refusal("damaged", "the RLE frame's planes are out of order")
    return list(zip(starts, ends, strict=True))


def _unpack(packed: bytes, expected: int) -> bytes:
    """PackBits until `expected` bytes are there."""
    unpacked = bytearray()
    at, end = 0, len(packed)
    while at < end and len(unpacked) < expected:
        head = packed[at]
        if head < 128:
            unpacked += packed[at + 1 : at + 2 + head]
            at += 2 + head
        elif head > 128:
            unpacked += packed[at + 1 : at + 2] * (257 - head)
            at += 2
        else:
            at += 1
    if len(unpacked) < expected:
        raise Refusal("truncated", "an RLE plane ends before the image does")
    return bytes(unpacked[:expected])
