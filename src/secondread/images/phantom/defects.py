"""Injected defects: copies, near-copies and broken files with a known place in the manifest."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from PIL import Image
from scipy import ndimage

from secondread.core.errors import WrongRequest
from secondread.images.phantom.canvas import Plane
from secondread.images.phantom.cohort import Case, Labels, endless_plan, split_of
from secondread.images.phantom.spec import PhantomSpec
from secondread.images.phantom.streams import stream

BYTE_COPIES = ("byte_copy", "byte_copy_across")
NEAR_COPIES = (
    "jpeg_copy",
    "resize_copy",
    "brightness_copy",
    "gamma_copy",
    "crop_copy",
    "flip_copy",
    "near_copy_across",
)
BROKEN = ("truncated", "zero_byte", "constant", "inverted", "rgba", "sixteen_bit", "odd_aspect")
FLIPPED = "flipped_label"
KINDS = (*BYTE_COPIES, *NEAR_COPIES, FLIPPED, *BROKEN)
UNFIT = {
    "npz": {"truncated", "zero_byte", "rgba", "sixteen_bit", "odd_aspect"},
    "dicom": {"rgba", "sixteen_bit"},
}
DEFAULT_SHARE = 0.02


@dataclass(frozen=True)
class Entry:
    """One file to be: the case to draw, the number of the patient it is filed under, and what is wrong with it.

    source: index of the entry that a copy was made of. A copy is filed under another patient, as copies are.
    """

    index: int
    case: Case
    patient: int
    visit: int
    split: str
    labels: Labels
    defect: str | None = None
    source: int | None = None


def counts_of(spec: PhantomSpec, format: str) -> dict[str, int]:
    """How many of each kind of defect. Raises `WrongRequest` for an unknown kind or one the format cannot hold."""
    unfit = UNFIT.get(format, set())
    if isinstance(spec.defects, bool):
        each = max(1, round(DEFAULT_SHARE * spec.n)) if spec.defects else 0
        wanted: Mapping[str, int] = {kind: each for kind in KINDS if kind not in unfit}
    else:
        wanted = spec.defects
    for kind, number in wanted.items():
        if kind not in KINDS:
            raise WrongRequest(f"phantom: no defect {kind!r}; there are {', '.join(KINDS)}")
        if number and kind in unfit:
            raise WrongRequest(f"phantom: the format {format} cannot hold the defect {kind}; leave it out")
    taken = sum(number for kind, number in wanted.items() if kind not in BROKEN)
    if taken > spec.n:
        raise WrongRequest(
            f"phantom: {taken} copies and flipped labels of {spec.n} images; ask for fewer or a larger n"
        )
    return {kind: wanted.get(kind, 0) for kind in KINDS}


def entries_of(spec: PhantomSpec, format: str) -> list[Entry]:
    """Every file of the phantom: the `n` images in order, flipped labels among them, then copies and broken files."""
    counts = counts_of(spec, format)
    cases = list(islice(endless_plan(spec), spec.n))
    entries = [Entry(case.index, case, case.patient, case.visit, case.split, case.labels) for case in cases]
    order = iter(stream(spec.root, "defects").permutation(spec.n).tolist())
    for index in islice(order, counts[FLIPPED]):
        entries[index] = replace(entries[index], labels=other_labels(spec, entries[index]), defect=FLIPPED)
    patient = cases[-1].patient + 1
    for kind in (*BYTE_COPIES, *NEAR_COPIES):
        for index in islice(order, counts[kind]):
            entries.append(_copy(spec, entries[index], kind, len(entries), patient))
            patient += 1
    broken = [kind for kind in BROKEN for _ in range(counts[kind])]
    fresh = endless_plan(spec, patient, len(entries))
    for kind, case in zip(broken, fresh, strict=False):
        entries.append(Entry(case.index, case, case.patient, case.visit, case.split, case.labels, kind))
    return entries


def _copy(spec: PhantomSpec, source: Entry, kind: str, index: int, patient: int) -> Entry:
    labels = other_labels(spec, source) if kind.endswith("_across") else source.labels
    split = split_of(spec, patient, 0)
    return replace(
        source, index=index, patient=patient, visit=0, split=split, labels=labels, defect=kind, source=source.index
    )


def other_labels(spec: PhantomSpec, entry: Entry) -> Labels:
    """Labels that are wrong: the next class, or the first observation turned around."""
    names = list(entry.labels)
    if spec.task.multilabel:
        name = names[entry.index % len(names)]
        return {**entry.labels, name: float(1 - entry.case.truth[name])}
    present = names.index(next(name for name, value in entry.case.truth.items() if value))
    return {name: float(i == (present + 1) % len(names)) for i, name in enumerate(names)}


def altered(pixels: Plane, kind: str | None) -> Plane:
    """The pixels [S, S] of a near-copy or of an image that is broken in its pixels; [h, w] for the odd aspect."""
    size = pixels.shape[0]
    if kind in ("jpeg_copy", "near_copy_across"):
        return _through_jpeg(pixels, 40)
    if kind == "resize_copy":
        smaller = _resized(pixels, round(0.8 * size), round(0.8 * size))
        return _resized(smaller, size, size)
    if kind == "brightness_copy":
        return pixels * np.float32(0.94) + np.float32(0.05)
    if kind == "gamma_copy":
        return np.asarray(np.power(pixels, np.float32(0.8)))
    if kind == "crop_copy":
        edge = max(1, round(size * 3 / 112))
        return _resized(pixels[edge:-edge, edge:-edge], size, size)
    if kind == "flip_copy":
        return np.ascontiguousarray(pixels[:, ::-1])
    if kind == "constant":
        return np.full_like(pixels, 0.5)
    if kind == "inverted":
        return np.float32(1.0) - pixels
    if kind == "odd_aspect":
        return np.ascontiguousarray(pixels[round(0.35 * size) : round(0.70 * size)])
    return pixels


def _through_jpeg(pixels: Plane, quality: int) -> Plane:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), np.float32) / np.float32(255.0)


def _resized(pixels: Plane, height: int, width: int) -> Plane:
    factors = (height / pixels.shape[0], width / pixels.shape[1])
    result: Plane = np.clip(ndimage.zoom(pixels, factors, order=1, grid_mode=True, mode="nearest"), 0.0, 1.0)
    return result


def damaged(content: bytes, kind: str | None) -> bytes:
    """The bytes of a file that is broken as a file."""
    if kind == "truncated":
        return content[: int(0.55 * len(content))]
    return b"" if kind == "zero_byte" else content
