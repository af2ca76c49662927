"""An image as it is kept: one npz file of our own with pixels, model inputs and a thumbnail; no uploaded bytes."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.core.files import sha256_of_json
from secondread.images.decode import (
    Decoded,
    DecodePolicy,
    FileFacts,
    PixelSpec,
    decode,
    decode_for,
    display_pixels,
    to_model_input,
)
from secondread.images.decode_types import PERCENTILES, Display

THUMBNAIL = 192
ON_SCREEN = 2048
"""Longest side that is sent to a browser."""
SAMPLED = 128
"""Rows and columns that an image's own window is taken from."""
REDUCED_ON_DECODING = ("JPEG", "MPO")


def spec_key(spec: PixelSpec) -> str:
    """Name of the model input made under `spec`."""
    return "input_" + sha256_of_json(asdict(spec))[:16]


def take_in(content: bytes, specs: list[PixelSpec], policy: DecodePolicy, out: Path) -> Decoded:
    """Decode an image for the eye and for each of `specs`, and write it to `out`; `places.put_in_place` makes it last.

    Raises `Refusal`. What a model gets is what `Bundle.read` would give it, whatever is kept for the eye.
    """
    decoded = decode(content, policy=policy)
    arrays: dict[str, NDArray[Any]] = {"pixels": decoded.pixels, "thumbnail": _thumbnail(decoded)}
    for spec in specs:
        seen = decode_for(content, spec, policy) if decoded.facts.format in REDUCED_ON_DECODING else decoded
        arrays[spec_key(spec)] = to_model_input(seen, spec)
    if decoded.display is not None and decoded.display.table is not None:
        arrays["table"] = decoded.display.table
    if decoded.padding is not None:
        arrays["padding"] = np.packbits(decoded.padding)
    arrays["meta"] = np.frombuffer(json.dumps(_meta(decoded)).encode(), np.uint8)
    with open(out, "xb") as opened:
        os.fchmod(opened.fileno(), 0o600)
        np.savez(opened, allow_pickle=False, **arrays)
    return decoded


class StoredPixels:
    """The content of one kept file, each array read when asked for."""

    def __init__(self, path: Path) -> None:
        self.arrays = np.load(path, allow_pickle=False)

    def __enter__(self) -> StoredPixels:
        return self

    def __exit__(self, *_: object) -> None:
        self.arrays.close()

    @cached_property
    def decoded(self) -> Decoded:
        meta = json.loads(self.arrays["meta"].tobytes())
        table = self.arrays.get("table")
        display = Display(**meta["display"], table=table) if meta["display"] else None
        pixels, packed = self.arrays["pixels"], self.arrays.get("padding")
        padding = (
            None if packed is None else np.unpackbits(packed, count=pixels.size).reshape(pixels.shape).astype(bool)
        )
        return Decoded(pixels, meta["bits"], FileFacts(**meta["facts"]), {}, display, padding=padding)

    @property
    def thumbnail(self) -> NDArray[np.uint8]:
        return np.asarray(self.arrays["thumbnail"])

    def model_input(self, spec: PixelSpec) -> NDArray[np.uint8]:
        """uint8 [C,H,W]: made on arrival, or now for a bundle that was not there then."""
        key = spec_key(spec)
        made = self.arrays.get(key)
        pixels = to_model_input(self.decoded, spec) if made is None else made
        return np.asarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1), np.uint8, order="C")

    def on_screen(self, longest: int = ON_SCREEN) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """Pixels [h,w] or [h,w,3] of full depth, averaged down by a whole factor to at most `longest`.

        A side shorter than the factor becomes one pixel.
        """
        pixels = self.decoded.pixels
        factor = -(-max(pixels.shape[:2]) // longest)
        if factor == 1:
            return pixels
        down, across = (min(factor, side) for side in pixels.shape[:2])
        height, width = pixels.shape[0] // down, pixels.shape[1] // across
        cells = pixels[: height * down, : width * across].reshape(height, down, width, across, *pixels.shape[2:])
        averaged: NDArray[np.uint8] | NDArray[np.uint16] = cells.mean(axis=(1, 3)).round().astype(pixels.dtype)
        return averaged


def windows_of(decoded: Decoded) -> dict[str, list[float]]:
    """Grey values shown as black and as white: the full range, this image's own, and what the file asks for."""
    top = float(2**decoded.bits - 1)
    step = max(1, max(decoded.pixels.shape[:2]) // SAMPLED)
    low, high = (float(value) for value in np.percentile(decoded.every(step).measured, PERCENTILES))
    found = {"full": [0.0, top], "auto": [low, max(high, low + 1.0)]}
    display = decoded.display
    if display is not None and display.width is not None and display.center is not None and display.slope:
        units = (display.center - display.width / 2, display.center + display.width / 2)
        stored = sorted((unit - display.intercept) / display.slope - display.first for unit in units)
        if display.inverted:
            stored = [top - stored[1], top - stored[0]]
        found["file"] = [stored[0], max(stored[1], stored[0] + 1.0)]
    return found


def _meta(decoded: Decoded) -> dict[str, Any]:
    display = None
    if decoded.display is not None:
        display = {spec.name: getattr(decoded.display, spec.name) for spec in fields(Display) if spec.name != "table"}
    facts = asdict(decoded.facts) | {"software": ""}
    return {"bits": decoded.bits, "facts": facts, "display": display}


def _thumbnail(decoded: Decoded) -> NDArray[np.uint8]:
    """At most THUMBNAIL pixels a side; coarse cells first, since nobody measures in it."""
    factor = max(1, max(decoded.pixels.shape[:2]) // (2 * THUMBNAIL))
    small = display_pixels(decoded.every(factor))
    image = Image.fromarray(small)
    image.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(image, dtype=np.uint8)
