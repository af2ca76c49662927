"""Reading any number of images with one bundle, results as they come."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.core.files import sha256_of_bytes
from secondread.images.decode import Decoded, DecodePolicy, Refusal, display_pixels
from secondread.models.bundle.intake import Found, find_files
from secondread.models.bundle.judge import Reading
from secondread.models.bundle.opened import Bundle

BATCH = 8


@dataclass(frozen=True)
class _Ready:
    """A file that was decoded, or the record of one that was not."""

    file: str
    content_id: str
    decoded: Decoded | None
    pixels: NDArray[np.uint8] | None
    failure: str
    seconds: float


def read_images(
    bundle: Bundle,
    paths: Iterable[Path],
    heatmaps: Path | None = None,
    batch: int = BATCH,
    policy: DecodePolicy | None = None,
    own: Sequence[Path] = (),
) -> Iterator[dict[str, Any]]:
    """One record per regular file under `paths` (files, folders, zips), in order, a batch at a time.

    The keys are those of `secondread read --json`; a file that cannot be read has status `failed` and its reason, and
    the next ones go on. With `heatmaps` (a folder) overlays are written there and named under the key `heatmaps`.
    What lies there, or is one of the caller's `own` files, is the work of an earlier reading and is not read.
    """
    policy = policy or DecodePolicy()
    own = [*own, *([heatmaps] if heatmaps else [])]
    for group in _batched(find_files(paths, policy, own), batch):
        yield from _read_group(bundle, [_made_ready(bundle, found, policy) for found in group], heatmaps)


def columns_of(classes: Sequence[str]) -> list[str]:
    """The columns of a table of readings (`secondread read --csv`, `sr.read`)."""
    return [
        "file",
        "content_id",
        "status",
        "reason",
        "decision",
        "bundle",
        "seconds",
        *(f"p_{name}" for name in classes),
    ]


def in_columns(record: dict[str, Any]) -> dict[str, Any]:
    """A record of `read_images` as a row of that table; several classes decided are joined by `|`."""
    chances = {f"p_{name}": p for name, p in (record.get("probabilities") or {}).items()}
    decision = record.get("decision")
    return record | chances | {"decision": "|".join(decision) if isinstance(decision, list) else decision}


def _batched(files: Iterator[Found], size: int) -> Iterator[list[Found]]:
    while group := list(itertools.islice(files, size)):
        yield group


def _made_ready(bundle: Bundle, found: Found, policy: DecodePolicy) -> _Ready:
    started = time.perf_counter()
    content_id = sha256_of_bytes(found.content) if not found.failure else ""
    decoded = pixels = None
    failure = found.failure
    if not failure:
        try:
            decoded = bundle.decode(found.content, policy)
            pixels = bundle.prepare(decoded)
        except Refusal as refusal:
            failure = refusal.reason
    return _Ready(found.file, content_id, decoded, pixels, failure, time.perf_counter() - started)


def _read_group(bundle: Bundle, group: list[_Ready], heatmaps: Path | None) -> Iterator[dict[str, Any]]:
    images = [ready.pixels for ready in group if ready.pixels is not None]
    started = time.perf_counter()
    readings = iter(bundle.judge(bundle.run(np.stack(images), heatmaps is not None)) if images else [])
    each = (time.perf_counter() - started) / max(len(images), 1)
    for ready in group:
        if ready.pixels is None:
            yield _record(bundle, ready, None, ready.seconds)
            continue
        reading = next(readings)
        record = _record(bundle, ready, reading, ready.seconds + each)
        if heatmaps is not None:
            record["heatmaps"] = _write_overlays(bundle, ready, reading, heatmaps)
        yield record


def _record(bundle: Bundle, ready: _Ready, reading: Reading | None, seconds: float) -> dict[str, Any]:
    record: dict[str, Any] = {"file": ready.file, "content_id": ready.content_id}
    if reading is None:
        record |= {"status": "failed", "reason": ready.failure}
    else:
        record |= {"status": reading.status, "reason": reading.reason, "decision": reading.decision,
                   "probabilities": reading.probabilities}  # fmt: skip
    if ready.decoded is not None and ready.decoded.facts.frames > 1:
        record["frames"] = f"the first of {ready.decoded.facts.frames} was read"
    return record | {"bundle": bundle.sha256, "seconds": round(seconds, 4)}


def _write_overlays(bundle: Bundle, ready: _Ready, reading: Reading, folder: Path) -> dict[str, str]:
    """Overlays of the classes decided (of none: of the most probable one); one colour scale for all classes."""
    if reading.heat is None or ready.decoded is None:
        return {}
    from secondread.core.files import write_with
    from secondread.models.bundle.overlay import captioned, onto_image, overlay, shrunk

    shown = shrunk(display_pixels(ready.decoded))
    top = max(float(heat.max()) for heat in reading.heat.values())
    written = {}
    for name in _decided(reading):
        height, width = shown.shape[:2]
        heat = onto_image(reading.heat[name], height, width, bundle.card.fit, bundle.card.crop_border)
        grid = "×".join(str(side) for side in reading.heat[name].shape)
        caption = (
            f"{name} {reading.probabilities[name]:.2f} ({reading.status}): attention on a grid of {grid}, smoothed; "
            "not the border of a lesion"
        )
        picture = captioned(overlay(shown, heat, top), caption, top if reading.heat[name].max() > 0 else 0.0)
        path = folder / f"{_safe(Path(ready.file).stem)}-{ready.content_id[:8]}-{_class_part(name)}.png"
        write_with(path, partial(picture.save, format="PNG"))
        written[name] = str(path)
    return written


def _decided(reading: Reading) -> list[str]:
    decided = reading.decision if isinstance(reading.decision, list) else [reading.decision]
    return decided or [max(reading.probabilities, key=lambda name: reading.probabilities[name])]


def _class_part(name: str) -> str:
    """A class in a file name: names that are not plain letters would else all become the same underscores."""
    safe = _safe(name)
    return safe if safe == name else f"{safe}-{sha256_of_bytes(name.encode())[:6]}"


def _safe(name: str) -> str:
    """A part of a file name: nothing that a file system or a terminal could take for something else."""
    return "".join(letter if (letter.isalnum() and letter.isascii()) or letter in "-_" else "_" for letter in name)[:60]
