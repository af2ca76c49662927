"""The same study tiny: proves in a minute or two that every part of it works together."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from secondread.core.spec import PartRef, Study, as_yaml
from secondread.core.studyfile import parse_study

IMAGES = 96
PRESETS = {"chexpert": "cxr-multilabel", "nih": "cxr-multilabel"}


def smoke_of(study: Study, data: Path | None) -> tuple[Study, Path | None]:
    """`study` at the smallest size its models take, one epoch, one seed; on phantom data when it has none."""
    written: dict[str, Any] = as_yaml(study)
    if data is None or not any((data / root).exists() for root in _roots(study.gather.source)):
        data = _phantom_for(study.gather.source)
        written["gather"]["source"] = {**_mapping(written["gather"]["source"]), "root": "."}
    models = {model.name for arm in study.arms for model in study.arm(arm)[1].models}
    tiny = {"size": smallest_size(models), "epochs": 1, "steps": 3, "batch": 8, "seeds": [0], "weights": "none"}
    written["train"] |= tiny | {"early_stop": None}
    for arm in written["arms"].values():
        arm["train"] = {key: value for key, value in arm["train"].items() if key not in {*tiny, "early_stop"}}
    written["synthesize"] |= {"steps": 2, "seeds": [0], "samples": 16, "sheet_every": 1, "size": 32, "batch": 8}
    split = _mapping(written["prepare"]["split"])
    written["prepare"]["split"] = (
        split | {"repeats": 1} | ({"folds": min(split["folds"], 2)} if "folds" in split else {})
    )
    written["evaluate"]["bootstrap"] = 50
    written["explain"] |= {"cases": 4, "quality": False}
    written["export"]["int8"] = False
    return parse_study(written, "smoke"), data


def smallest_size(models: set[str]) -> int:
    """The smallest image side, at least 32, that every one of the models takes."""
    from secondread.models.catalogue import min_size

    return max([32, *(min_size(model) for model in models)])


def _phantom_for(source: PartRef) -> Path:
    """A small phantom in the tree that the source reads."""
    from secondread.images.phantom import PhantomSpec, write_phantom

    folder = Path(tempfile.mkdtemp(prefix="secondread-smoke-")) / "data"
    spec = PhantomSpec(preset=PRESETS.get(source.name, "cxr-binary"), n=IMAGES, size=64, defects=False)
    formats = {"chexpert": "chexpert", "nih": "nih", "npz": "npz", "dicom": "dicom"}
    write_phantom(spec, folder, formats.get(source.name, "folder"))
    return folder


def _roots(source: PartRef) -> list[str]:
    given = source.options.get("root", ".")
    return [str(root) for root in (given if isinstance(given, list) else [given])]


def _mapping(part: Any) -> dict[str, Any]:
    return dict(part) if isinstance(part, dict) else {"name": part}
