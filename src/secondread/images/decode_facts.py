"""What a raster file says about itself, before and without decoding its pixels."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageChops
from PIL.TiffImagePlugin import TiffImageFile

from secondread.images.decode_types import FileFacts

BITS = {"1": 1, "I;16": 16, "I;16B": 16, "I;16L": 16, "I;16N": 16, "I": 16, "F": 32}
CHANNELS = {"1": 1, "L": 1, "I": 1, "F": 1, "P": 3, "LA": 1, "La": 1, "PA": 3}
EXIF_ORIENTATION = 0x0112
EXIF_SOFTWARE = 0x0131
TIFF_BITS = 0x0102
TIFF_PHOTOMETRIC = 0x0106
# Red, green and blue this close count as grey: what JPEG's chroma rounding leaves behind in a grey picture.
CHROMA_TOLERANCE = 4
# Sum of the 64 entries of the luminance table of ITU-T T.81 Annex K.1, which IJG's quality 50 writes as it stands.
ANNEX_K_SUM = 3688.0


def facts_of(image: Image.Image, size_in_bytes: int, orientation: int) -> FileFacts:
    width, height = reversed(image.size) if orientation > 4 and not turns_itself(image) else image.size
    return FileFacts(
        format="JPEG" if image.format == "MPO" else str(image.format),
        mode=image.mode,
        width=width,
        height=height,
        bits=12 if _twelve_bits(image) else BITS.get(image.mode, 8),
        channels=CHANNELS.get(image.mode, 1 if image.mode.startswith("I;16") else 3),
        bytes=size_in_bytes,
        compression=_compression(image),
        quality=_jpeg_quality(image),
        exif_orientation=orientation,
        frames=getattr(image, "n_frames", 1),
        software=str(image.info.get("Software", ""))[:64],
    )


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation 1..8; a damaged EXIF block counts as upright, the pixels are not to blame."""
    try:
        found = image.getexif().get(EXIF_ORIENTATION, 1)
    except Exception:
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def turns_itself(image: Image.Image) -> bool:
    """Whether Pillow gives size and pixels upright already, as it does for TIFF alone."""
    return isinstance(image, TiffImageFile)


def white_is_zero(image: Image.Image) -> bool:
    """Whether grey of more than 8 bits is stored with white at 0; up to 8 bits Pillow exchanges both ends itself."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(TIFF_PHOTOMETRIC) == 0


def _twelve_bits(image: Image.Image) -> bool:
    """Whether only the lower 12 of Pillow's 16 bits hold grey."""
    return isinstance(image, TiffImageFile) and image.tag_v2.get(TIFF_BITS) == (12,)


def chroma_free(image: Image.Image) -> bool:
    """Whether an RGB image is a grey one in three copies."""
    red, green, blue = image.split()
    pairs = ((red, green), (green, blue), (red, blue))
    return all(_largest_difference(one, other) <= CHROMA_TOLERANCE for one, other in pairs)


def _largest_difference(one: Image.Image, other: Image.Image) -> int:
    low_high = ImageChops.difference(one, other).getextrema()
    return int(low_high[1])  # type: ignore[arg-type]  # one band: a pair of numbers


def _compression(image: Image.Image) -> str:
    if image.format in ("JPEG", "MPO"):
        return "progressive" if image.info.get("progressive") else "baseline"
    if image.format == "TIFF":
        return str(image.info.get("compression", "raw"))
    return {"PNG": "deflate", "WEBP": "webp"}.get(str(image.format), "none")


def _jpeg_quality(image: Image.Image) -> float | None:
    """The IJG quality whose scaled Annex K table has the same sum as the file's luminance table."""
    tables = getattr(image, "quantization", None)
    if not tables or 0 not in tables:
        return None
    scale = 100.0 * sum(tables[0]) / ANNEX_K_SUM
    quality = (200.0 - scale) / 2.0 if scale <= 100.0 else 5000.0 / scale
    return round(float(np.clip(quality, 1.0, 100.0)), 1)
