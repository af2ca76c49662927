"""What is measured of each image for the audit: file facts, statistics, hashes and a small picture of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

from secondread.images.decode import Decoded, DecodePolicy, Refusal, decode
from secondread.images.decode_npz import decode_entry, entries

SIDE = 128
"""Side of the small picture (grey, stretched)."""
HASH_SIDE = 32
FRAME = 0.12
"""Share of width and height that counts as border on each side."""
ENOUGH = (512, 512)
"""Larger JPEG files may be measured at a reduced size of at least twice this."""
PERCENTS = (1, 5, 25, 50, 75, 95, 99)
Frames = Literal["refuse", "first"]
MISSED = {"refused": "", "reason": ""}


@dataclass(frozen=True)
class Job:
    """One image to be measured."""

    path: Path
    index: int
    frames: Frames

    @property
    def inside(self) -> bool:
        """Whether it is an entry of an npz."""
        return self.index >= 0 and self.path.suffix.lower() == ".npz"


@dataclass(frozen=True)
class Seen:
    """The measurements of an image by name, and its small picture uint8 [128, 128] (all 0 when it was refused)."""

    facts: dict[str, Any]
    small: NDArray[np.uint8]


def look(jobs: Sequence[Job]) -> list[Seen]:
    """Measure files; a refused one has `refused` (the code) and `reason` and nothing else."""
    return [_measured(job) for job in jobs]


def look_inside(npz: Path, places: Mapping[int, int]) -> Iterator[tuple[int, Seen]]:
    """Measure entries of an npz in one stream, given the place of each; the place and its measurements."""
    for index, entry in entries(npz, list(places)):
        try:
            yield places[index], _look(decode_entry(entry))
        except Refusal as refusal:
            yield places[index], _look(refusal)


def _measured(job: Job) -> Seen:
    try:
        return _look(_decoded(job))
    except MemoryError:  # measuring takes a few times what decoding does
        return _look(Refusal("too_large", "the image does not fit into memory"))


def _decoded(job: Job) -> Decoded | Refusal:
    try:
        return decode(job.path, policy=DecodePolicy(frames=job.frames), target=ENOUGH)
    except Refusal as refusal:
        return refusal


def _look(decoded: Decoded | Refusal) -> Seen:
    if isinstance(decoded, Refusal):
        return Seen({"refused": decoded.code, "reason": decoded.reason}, np.zeros((SIDE, SIDE), np.uint8))
    grey, chroma = _grey(decoded.to_uint8())
    shown = _grey(decoded.to_uint8("percentile"))[0] if decoded.bits > 8 else grey
    image = Image.fromarray(shown)
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    facts: dict[str, Any] = {
        **MISSED,
        "pixel_id": pixel_id(decoded),
        "chroma": chroma,
        "used_range": float(np.ptp(decoded.measured)) / (2**decoded.bits - 1),
        "small_std": float(small.std()),
        **_file(decoded),
        **_hashes(image),
        **_statistics(grey),
        **_border(grey),
    }
    return Seen(facts, small)


def pixel_id(decoded: Decoded) -> str:
    """SHA-256 of the decoded pixels: the same picture in another file has the same."""
    head = f"{decoded.pixels.shape}{decoded.bits}{decoded.reduced}".encode()
    return hashlib.sha256(head + np.ascontiguousarray(decoded.pixels).tobytes()).hexdigest()


def _file(decoded: Decoded) -> dict[str, Any]:
    facts = decoded.facts
    return {
        "format": facts.format, "mode": facts.mode, "width": facts.width, "height": facts.height, "bits": facts.bits,
        "bytes": facts.bytes, "compression": facts.compression, "quality": facts.quality,
        "orientation": facts.exif_orientation, "software": facts.software,
    }  # fmt: skip


def _grey(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    """The luma of an image, and how far its three colours are apart on average."""
    if pixels.ndim == 2:
        return pixels, 0.0
    apart = pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L")), float(apart.mean())


def _hashes(image: Image.Image) -> dict[str, Any]:
    """64-bit perceptual hash (DCT, lowest 8 x 8 against their median) of the image and of its mirror image."""
    square = np.asarray(image.resize((HASH_SIDE, HASH_SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    low = dctn(square, norm="ortho")[:8, :8]
    mirrored = low * np.where(np.arange(8) % 2, -1.0, 1.0)  # odd cosines change their sign under reflection
    return {"phash": _bits(low), "phash_mirrored": _bits(mirrored)}


def _bits(low: NDArray[np.float64]) -> int:
    rest = low.reshape(-1)[1:]
    return int.from_bytes(np.packbits(np.concatenate([[False], rest > np.median(rest)])).tobytes(), "big")


def _statistics(grey: NDArray[np.uint8]) -> dict[str, Any]:
    counts = np.bincount(grey.reshape(-1), minlength=256)
    share = counts / counts.sum()
    levels = np.arange(256)
    mean = float(share @ levels)
    at = np.searchsorted(np.cumsum(share), np.array(PERCENTS) / 100)
    facts = {f"p{percent:02}": float(level) for percent, level in zip(PERCENTS, at, strict=True)}
    return {
        **facts, "mean": mean, "std": float(np.sqrt(share @ (levels - mean) ** 2)), "black": float(share[0]),
        "white": float(share[255]), "levels": int((counts > 0).sum()),
    }  # fmt: skip


def _border(grey: NDArray[np.uint8]) -> dict[str, Any]:
    """Means of the four sides, the corners' bright marks and edges."""
    height, width = grey.shape
    down, across = max(1, int(height * FRAME)), max(1, int(width * FRAME))
    sides = {"top": grey[:down], "bottom": grey[-down:], "left": grey[:, :across], "right": grey[:, -across:]}
    facts = {f"border_{name}": float(part.mean()) for name, part in sides.items()}
    corners = {"nw": grey[: 2 * down, : 2 * across], "ne": grey[: 2 * down, -2 * across :],
               "sw": grey[-2 * down :, : 2 * across], "se": grey[-2 * down :, -2 * across :]}  # fmt: skip
    for name, part in corners.items():
        facts[f"bright_{name}"] = float((part >= 250).mean())
        steps = np.abs(np.diff(part.astype(np.int16), axis=1))
        facts[f"edges_{name}"] = float((steps > 64).mean()) if steps.size else 0.0  # one pixel wide: no step to take
    return facts
