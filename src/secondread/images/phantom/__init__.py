"""Procedural chest X-rays and brain MRI with known truth: patients, sites, lesions, masks, counterfactuals, defects.

Everything is drawn with numpy and scipy from an explicit seed; no real image is behind it.

    spec = PhantomSpec("cxr-multilabel", n=100, seed=3)
    for drawn in generate(spec):                                        # image, labels, truth, masks, patient, site
        twin = render(spec, drawn.case.at("B").without("Edema"))         # counterfactual: the rest is as it was
    manifest = write_phantom(spec, Path("data"), format="chexpert")      # truth beside it, in data_truth/
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from secondread.images.phantom.spec import FORMATS, PRESETS, PhantomSpec

if TYPE_CHECKING:
    from secondread.images.phantom.cohort import Case
    from secondread.images.phantom.drawing import PhantomImage

__all__ = ["FORMATS", "PRESETS", "PhantomSpec", "contact_sheet", "generate", "plan", "render", "write_phantom"]


def plan(spec: PhantomSpec) -> Iterator[Case]:
    """The cases of a phantom without drawing them: patient, visit, site, split, severity per finding, truth, labels."""
    from secondread.images.phantom import cohort

    return cohort.plan(spec)


def generate(spec: PhantomSpec) -> Iterator[PhantomImage]:
    """Draw a phantom image by image. Each depends on the seed, its patient and its visit only, never on `n`.

    spec: see `PhantomSpec` for every knob. Yields `PhantomImage`: image uint8 [S, S], pixels float32 [S, S] in [0, 1],
    masks bool [S, S] by finding, labels as written down (1, 0, −1 uncertain, None empty), truth, patient, visit, site,
    severity. Defects are files, so they exist only in what `write_phantom` writes.
    """
    from secondread.images.phantom import drawing

    return drawing.generate(spec)


def render(spec: PhantomSpec, case: Case) -> PhantomImage:
    """Draw one case of `plan(spec)`, or a toggled one: `case.having(finding, severity)`, `.without(…)`, `.at(site)`.

    Raises `WrongRequest` where the preset knows no such finding or site.
    """
    from secondread.images.phantom import drawing

    return drawing.render(spec, case)


def write_phantom(spec: PhantomSpec, out: Path, format: str = "folder", workers: int | None = None) -> dict[str, Any]:
    """Write a phantom in the tree of a public data set, and its truth beside it, in `<out>_truth/`.

    spec: see `PhantomSpec`. out: a folder that is absent or empty.
    format: folder | chexpert | nih | radiography | kermany | npz | dicom (a preset's `formats` say which fit it).
    workers: processes to draw with; None takes one per core, 1 stays in this process. The files do not depend on it.

    Returns the manifest, which is also `<out>_truth/phantom.json`: the spec, and per image its file, patient, visit,
    site, split, labels, truth, severity, defect and masks (PNG files in `<out>_truth/phantom_masks/`). Both folders
    appear at the end, complete or not at all.

    Raises `WrongRequest` for an `out` that is not empty, an unknown format, or defects that the format cannot hold;
    `BadData` where `out` cannot be written.
    """
    from secondread.images.phantom import writing

    return writing.write_phantom(spec, Path(out), format, workers)


def contact_sheet(out: Path) -> Path:
    """Write a PNG (under 400 kB) with examples of every preset, seed 0, and return its path."""
    from secondread.images.phantom import sheet

    return sheet.contact_sheet(Path(out))
