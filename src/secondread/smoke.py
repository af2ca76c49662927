"""The same study tiny: proves in a minute or two that every part of it works together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from secondread.core.progress import say
from secondread.core.spec import PartRef, Study, as_yaml
from secondread.core.studyfile import parse_study

IMAGES, SIDE = 160, 64
FORMATS = {"chexpert": "chexpert", "nih": "nih", "npz": "npz", "dicom": "dicom", "table": "nih"}
OF_NO_DATA = ("views", "empty")
"""Options of sources that name neither files nor columns nor classes."""


@dataclass(frozen=True)
class PublicTree:
    """A phantom written as a public set lies on disk; `called`: its class folders, where they are not the phantom's."""

    preset: str
    format: str
    called: Mapping[str, str] = field(default_factory=dict)
    own_folder: bool = False
    """Whether the phantom's tree begins with the folder of that name."""


OZTURK = {"COVID": "Covid-19", "Normal": "No_findings", "Viral Pneumonia": "Pneumonia"}
TREES = {
    "CheXpert-v1.0-small": PublicTree("cxr-multilabel", "chexpert", own_folder=True),
    "ChestX-ray14": PublicTree("cxr-multilabel", "nih"),
    "chest_xray": PublicTree("cxr-binary", "kermany", own_folder=True),
    "COVID-19_Radiography_Dataset": PublicTree("cxr-3class", "radiography"),
    "X-Ray Image DataSet": PublicTree("cxr-3class", "folder", OZTURK),
    "brain_tumor_dataset": PublicTree("mri-binary", "folder"),
}
"""By the folder that a study names as the root of its source."""


def smoke_of(study: Study, data: Path | None, phantoms: Path) -> tuple[Study, Path | None]:
    """`study` at the smallest size its models take, one epoch, one seed; without data, on a phantom in `phantoms`.

    Every arm is trained and every model, but not each in all others.
    """
    written: dict[str, Any] = as_yaml(study)
    roots = _roots(study.gather.source)
    if study.gather.source.name == "phantom":  # it draws its own images, where it is gathered
        small = {**_mapping(written["gather"]["source"]), "n": IMAGES, "size": SIDE}
        written["gather"] |= {"source": small, "external": []}
    elif not _is_here(roots, data):
        data, root = phantoms, _phantom(study, roots, phantoms)
        if not set(roots) & set(TREES):
            _leave_names_out(study, written)
        written["gather"] |= {"source": {**_mapping(written["gather"]["source"]), "root": [root]}, "external": []}
    models = {model.name for arm in study.arms for model in study.arm(arm)[1].models}
    tiny = {"size": smallest_size(models), "epochs": 1, "steps": 3, "batch": 8, "seeds": [0], "weights": "none"}
    written["train"] |= tiny | {"early_stop": None}
    for arm in written["arms"].values():
        arm["train"] = {key: value for key, value in arm["train"].items() if key not in {*tiny, "early_stop"}}
    if study.export.pick in ("best", "picked", "all"):  # else a pair is named
        _cross(study, written)
    written["synthesize"] |= {"steps": 2, "seeds": [0], "samples": 16, "sheet_every": 1, "size": 32, "batch": 8}
    split = _mapping(written["prepare"]["split"])
    written["prepare"]["split"] = (
        split | {"repeats": 1} | ({"folds": min(split["folds"], 2)} if "folds" in split else {})
    )
    written["evaluate"]["bootstrap"] = 50
    written["explain"] |= {"cases": 4, "quality": False}
    written["export"]["int8"] = False
    return parse_study(written, "smoke"), data


def _is_here(roots: list[str], data: Path | None) -> bool:
    """Whether one of the folders is there; such as stand in no data folder are absolute."""
    if data is None and not all(Path(root).is_absolute() for root in roots):
        return False
    return any(((data or Path()) / root).exists() for root in roots)


def _cross(study: Study, written: dict[str, Any]) -> None:
    """Give the baseline all models of the study, and every other arm without models of its own the first."""
    if len(study.arms) < 2:
        return
    whole = study.evaluate.baseline or next(iter(study.arms))
    models = written["train"]["models"]
    written["train"]["models"] = models[:1]
    written["arms"][whole]["train"].setdefault("models", models)


def smallest_size(models: set[str]) -> int:
    """The smallest image side, at least 32, that every one of the models takes."""
    from secondread.models.catalogue import min_size

    return max([32, *(min_size(model) for model in models)])


def _leave_names_out(study: Study, written: dict[str, Any]) -> None:
    """Drop what names files, columns and classes of data that are not here: a phantom has others."""
    gather, split = study.gather, study.prepare.split
    source = {name: value for name, value in gather.source.options.items() if name in OF_NO_DATA}
    written["gather"] = {"source": {"name": gather.source.name, **source}, "task": gather.task}
    if split.name in ("official", "families"):
        written["prepare"]["split"] = {"name": "grouped"} | {k: v for k, v in split.options.items() if k == "folds"}
    if not isinstance(study.synthesize.for_classes, str):
        written["synthesize"]["for"] = "minority"
    for train in (written["train"], *(arm["train"] for arm in written["arms"].values())):
        if isinstance(train.get("uncertain"), dict):
            train["uncertain"] = "ignore"
    if study.evaluate.threshold.cost:
        written["evaluate"]["threshold"] = {}
    written["explain"]["masks"] = None
    say(
        "smoke: the data are not here, a phantom stands in. What names their files, columns and classes is left out, "
        "so it is not proven; give --data to try it too"
    )


def _phantom(study: Study, roots: list[str], phantoms: Path) -> str:
    """The folder in `phantoms` with a phantom for the study's source; studies of one public set share it."""
    source = study.gather.source
    known = next((root for root in roots if root in TREES), None)
    asked = study.gather.task == "multilabel" and source.name in ("table", "npz", "dicom")
    name = known or source.name + "-multilabel" * asked
    several = asked or source.name in ("chexpert", "nih")
    whole = phantoms / name
    if not whole.exists():
        part = phantoms / f".{os.getpid()}.part"  # a killed writing is not taken for a whole phantom
        shutil.rmtree(part, ignore_errors=True)
        data = part / "data"  # beside it the phantom writes what is true of it, which goes with `part`
        _write_public(known, data) if known else _write_for(source, several, data / name)
        try:
            (data / name).rename(whole)
        except OSError:
            if not whole.exists():  # else another study was quicker: the same images
                raise
        shutil.rmtree(part, ignore_errors=True)
    return name


def _write_public(root: str, data: Path) -> None:
    """A small phantom in the tree of the public set at `data / root`."""
    from secondread.images.phantom import PhantomSpec, write_phantom

    tree = TREES[root]
    spec = PhantomSpec(preset=tree.preset, n=IMAGES, size=SIDE, defects=False)
    write_phantom(spec, data if tree.own_folder else data / root, tree.format)
    for name, called in tree.called.items():
        (data / root / name).rename(data / root / called)


def _write_for(source: PartRef, several: bool, data: Path) -> None:
    """A small phantom in the form that the source reads; `several` labels an image, where the study asks for them."""
    from secondread.images.phantom import PhantomSpec, write_phantom

    spec = PhantomSpec("cxr-multilabel" if several else "cxr-binary", n=IMAGES, size=SIDE)
    own = FORMATS.get(source.name, "folder")
    write_phantom(spec, data, "folder" if several and source.name == "table" else own)


def _roots(source: PartRef) -> list[str]:
    given = source.options.get("root", ".")
    return [str(root) for root in (given if isinstance(given, list) else [given])]


def _mapping(part: Any) -> dict[str, Any]:
    return dict(part) if isinstance(part, dict) else {"name": part}
