"""PNG, JPEG, TIFF, WebP and BMP, told apart by content, through Pillow with those five formats only."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from secondread.images.decode_facts import chroma_free, facts_of, orientation_of, turns_itself, white_is_zero
from secondread.images.decode_types import Decoded, DecodePolicy, Refusal

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
# What Pillow calls 16-bit grey; `I` is 32-bit in name, and 16-bit in what writers put there.
SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N", "I")
# A reduced decode must leave this many times the size that is wanted, so that the resize filter still averages.
SAFETY = 2
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def decode_raster(content: bytes, policy: DecodePolicy, target: tuple[int, int] | None) -> Decoded:
    """`target` is the least (width, height) needed; a JPEG file may then be decoded at 1/2, 1/4 or 1/8."""
    try:
        image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _not_identified(content) from error
    _check_limits(image, content, policy)
    orientation = orientation_of(image)
    facts = facts_of(image, len(content), orientation)
    inverted = white_is_zero(image)
    reduced = _draft(image, policy, target, sideways=orientation > 4)
    _load(image, content)
    if orientation in UPRIGHT and not turns_itself(image):
        image = image.transpose(UPRIGHT[orientation])
    if image.mode in SIXTEEN_BITS:
        pixels = _sixteen_bits(image)
        return Decoded(2**facts.bits - 1 - pixels if inverted else pixels, facts.bits, facts, reduced=reduced)
    return Decoded(_eight_bits(image, policy), 8, facts, reduced=reduced)


def _not_identified(content: bytes) -> Refusal:
    known = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"RIFF")
    if content.startswith(known):
        return Refusal("truncated", "the file begins like an image but its header is damaged or cut short")
    return Refusal("not_an_image", "not a PNG, JPEG, TIFF, WebP, BMP or DICOM file")


def _check_limits(image: Image.Image, content: bytes, policy: DecodePolicy) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise Refusal("damaged", f"the file says it is {width} by {height} pixels")
    if width * height > policy.max_pixels or max(width, height) > policy.max_side:
        raise Refusal(
            "too_large", f"{width} by {height} pixels; at most {policy.max_pixels / 1e6:.0f} million are read"
        )
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and policy.frames == "refuse" and image.format != "MPO":
        raise Refusal("multi_frame", f"the file holds {frames} images; one is read at a time")
    if image.format == "PNG" and not _png_is_whole(content):
        raise Refusal("truncated", "the PNG file ends before its last chunk")


def _png_is_whole(content: bytes) -> bool:
    """Whether the chunks reach an IEND: Pillow shows a file without it as if nothing were missing."""
    at = 8
    while at + 12 <= len(content):
        length, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        at += 12 + length
        if kind == b"IEND":
            return at <= len(content)
    return False


def _draft(image: Image.Image, policy: DecodePolicy, target: tuple[int, int] | None, *, sideways: bool) -> int:
    """Ask the JPEG decoder for grey, and for a reduced size where that is safe; the factor it was reduced by."""
    if image.format != "JPEG":
        return 1
    before = image.size
    wanted = before
    if target is not None:
        width, height = reversed(target) if sideways else target
        wanted = (min(before[0], width * SAFETY), min(before[1], height * SAFETY))
    image.draft("L" if policy.channels == 1 else None, wanted)
    return max(1, round(before[0] / image.size[0]))


def _load(image: Image.Image, content: bytes) -> None:
    try:
        image.load()
    except OSError as error:
        words = str(error)
        if "truncated" in words or "decoder error -2" in words or "unpack_from" in words:
            raise Refusal("truncated", "the file is cut short") from error
        raise Refusal("damaged", f"the pixels cannot be decoded: {words[:120]}") from error


def _sixteen_bits(image: Image.Image) -> NDArray[np.uint16]:
    pixels = np.asarray(image)
    if image.mode == "I" and (pixels.min() < 0 or pixels.max() > 65535):
        raise Refusal("unsupported_depth", "32-bit pixels beyond 0..65535 have no known white; store 8 or 16 bits")
    return pixels.astype(np.uint16)


def _eight_bits(image: Image.Image, policy: DecodePolicy) -> NDArray[np.uint8]:
    """Grey [H, W] or colour [H, W, 3]; what is transparent lies on black."""
    if image.mode == "F":
        raise Refusal("unsupported_depth", "floating-point pixels have no known white; store 8 or 16 bits")
    if image.mode == "1":
        image = image.convert("L")
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = _on_black(image)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if image.mode == "RGB" and (policy.channels == 1 or chroma_free(image)):
        image = image.convert("L")
    return np.asarray(image, dtype=np.uint8)


def _on_black(image: Image.Image) -> Image.Image:
    layered = image.convert("RGBA")
    flat = Image.new("RGBA", layered.size, (0, 0, 0, 255))
    flat.alpha_composite(layered)
    return flat.convert("RGB")
