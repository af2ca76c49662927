"""The phantom as a source: written once into the study, then read like the data set whose tree it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from secondread.core.files import sha256_of_json
from secondread.core.registry import find, part
from secondread.core.spec import Gather
from secondread.gather.found import Found

READERS = {"folder": "auto", "chexpert": "chexpert", "nih": "nih", "radiography": "class_folders",
           "kermany": "class_folders", "npz": "npz", "dicom": "dicom"}  # fmt: skip
Format = Literal["folder", "chexpert", "nih", "radiography", "kermany", "npz", "dicom"]


@part("sources", "phantom")
def phantom(
    root: Path,
    gather: Gather,
    /,
    *,
    preset: str = "cxr-binary",
    n: int = 600,
    seed: int = 0,
    size: int = 128,
    format: Format = "folder",
    confounding: float = 0.0,
    contrast: float = 1.0,
    label_noise: float = 0.0,
    visits: int = 3,
    imbalance: dict[str, float] | None = None,
    defects: bool = False,
) -> Found:
    """Synthetic images with known truth, drawn when they are gathered; `imbalance`: shares of classes by name."""
    from secondread.images.phantom import PhantomSpec, write_phantom

    spec = PhantomSpec(preset=preset, n=n, seed=seed, size=size, confounding=confounding, contrast=contrast,
                       label_noise=label_noise, visits=visits, imbalance=imbalance, defects=defects)  # fmt: skip
    folder = root / f"phantom-{sha256_of_json([spec.as_json(), format])[:12]}"
    if not folder.exists():
        write_phantom(spec, folder, format)
    found: Found = find("sources", READERS[format]).call(folder, gather)
    return found
