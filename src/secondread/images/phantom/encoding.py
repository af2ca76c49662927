"""A drawn case as the bytes of a file: PNG, JPEG, DICOM, or a bare array for the npz tree."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.images.phantom.canvas import Plane
from secondread.images.phantom.defects import Entry, altered, damaged
from secondread.images.phantom.drawing import render
from secondread.images.phantom.spec import PhantomSpec

JPEG_QUALITY = 92
NEAR_COPY_QUALITY = 40


def file_of(
    spec: PhantomSpec, entry: Entry, source: Entry, encoding: str
) -> tuple[bytes, dict[str, NDArray[np.bool_]]]:
    """The content of an entry's file and its masks [S, S]; `source` is the entry it was copied from, or itself.

    A byte copy is encoded as its source and so comes out byte for byte the same.
    """
    drawn = render(spec, entry.case)
    as_written = source if entry.defect in ("byte_copy", "byte_copy_across") else entry
    pixels = altered(drawn.pixels, as_written.defect)
    masks = _moved(drawn.masks, entry.defect)
    return damaged(encoded(spec, as_written, pixels, encoding), entry.defect), masks


def encoded(spec: PhantomSpec, entry: Entry, pixels: Plane, encoding: str) -> bytes:
    """Pixels [h, w] in [0, 1] as PNG, JPEG, DICOM or npy bytes."""
    if encoding == "dicom":
        from secondread.images.phantom.dicomtree import dicom_bytes

        return dicom_bytes(spec, entry, pixels)
    if entry.defect == "sixteen_bit":
        return _saved(Image.fromarray(np.rint(pixels * np.float32(65535.0)).astype(np.uint16)), "PNG")
    eight = np.rint(pixels * np.float32(255.0)).astype(np.uint8)
    if encoding == "npy":
        buffer = io.BytesIO()
        np.save(buffer, eight, allow_pickle=False)
        return buffer.getvalue()
    if entry.defect == "rgba":
        opaque = np.full_like(eight, 255)
        return _saved(Image.fromarray(np.stack([eight, eight, eight, opaque], axis=2)), "PNG")
    if encoding == "jpeg":
        near = entry.defect in ("jpeg_copy", "near_copy_across")
        return _saved(Image.fromarray(eight), "JPEG", quality=NEAR_COPY_QUALITY if near else JPEG_QUALITY)
    return _saved(Image.fromarray(eight), "PNG", compress_level=4)


def mask_bytes(mask: NDArray[np.bool_]) -> bytes:
    """A mask [h, w] as a PNG of 0 and 255."""
    return _saved(Image.fromarray(mask.astype(np.uint8) * np.uint8(255)), "PNG", compress_level=4)


def _saved(picture: Image.Image, format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _moved(masks: dict[str, NDArray[np.bool_]], kind: str | None) -> dict[str, NDArray[np.bool_]]:
    """The masks [S, S] after the same crop or flip as the pixels; nothing is to be seen in a constant image."""
    if kind == "constant":
        return {name: np.zeros_like(mask) for name, mask in masks.items()}
    if kind not in ("crop_copy", "flip_copy", "odd_aspect"):
        return masks
    return {name: np.asarray(altered(mask.astype(np.float32), kind) > 0.5) for name, mask in masks.items()}
