"""Writing a bundle: the reference images, the seals, the four files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.core.files import sha256_of_bytes, write_bytes, write_json
from secondread.models.bundle.card import BundleCard, FileSeal
from secondread.models.bundle.container import CARD, MODEL, REFERENCE, SEEN, TEXT
from secondread.models.bundle.gate import GateStatistics

REFERENCE_IMAGES = 2


def reference_images(channels: int, size: int, count: int = REFERENCE_IMAGES) -> NDArray[np.uint8]:
    """Images [n,C,H,W] drawn from noise at several scales, so that no patient's image travels with a bundle."""
    drawn = np.random.default_rng(0)
    total = np.zeros((count, channels, size, size))
    for cells in (2, 5, 16, size):
        coarse = drawn.normal(size=(count, channels, cells, cells))
        at = np.arange(size) * cells // size
        total += coarse[:, :, at][:, :, :, at]
    low, high = total.min((1, 2, 3), keepdims=True), total.max((1, 2, 3), keepdims=True)
    grey: NDArray[np.uint8] = np.round((total - low) / (high - low) * 255.0).astype(np.uint8)
    return grey


def reference_npz(
    images: NDArray[np.uint8], outputs: Any, gate: GateStatistics | None, seen: NDArray[np.uint64] | None = None
) -> bytes:
    """The bytes of reference.npz: images, the answers to them, the gate's statistics, and the marks (`core.leakage`)
    of all that the bundle was fitted on where that is known."""
    arrays = {"images": images, "logits": outputs.logits, "probabilities": outputs.probabilities,
              "features": outputs.features, **(gate.arrays() if gate is not None else {})}  # fmt: skip
    if seen is not None:
        arrays[SEEN] = seen
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)
    return written.getvalue()


def write_bundle(folder: Path, card: BundleCard, model: bytes, reference: bytes, text: str) -> BundleCard:
    """Write the bundle's four files into `folder`; gives the sealed card, which is written last."""
    files = {MODEL: model, REFERENCE: reference, TEXT: text.encode()}
    sealed = card.sealed({name: FileSeal(sha256_of_bytes(content), len(content)) for name, content in files.items()})
    for name, content in files.items():
        write_bytes(folder / name, content)
    write_json(folder / CARD, sealed.to_json())
    return sealed
