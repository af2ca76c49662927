"""What `weights:` of the study file means: `none`, `imagenet`, a file, or `trial:STUDY/ARM/MODEL`."""

from __future__ import annotations

import os
from pathlib import Path

from secondread.core.errors import Absent, WrongRequest
from secondread.core.spec import Normalise, PartRef
from secondread.models.backbone import Backbone, Statistics
from secondread.models.card import TrialCard, card_of, need_published
from secondread.models.published import published_file
from secondread.models.statedict import fit, own_state, read_state
from secondread.models.weight_origin import Origin

TRIAL = "trial:"


def load_weights(backbone: Backbone, weights: str, *, beside: Path | None = None) -> Origin:
    """Load first weights into `backbone` and tell what was done.

    Raises `Absent` when they are not here, `WrongRequest` when they are of another architecture, size or kind.
    """
    if weights == "none":
        return Origin()
    if weights == "imagenet":
        return _load_published(backbone)
    if weights.startswith(TRIAL):
        return _load_trial(backbone, find_trial(weights, beside))
    return _load_file(backbone, Path(os.path.expanduser(weights)))


def statistics_of(
    ref: PartRef, weights: str, *, normalise: Normalise = "dataset", beside: Path | None = None
) -> Statistics | None:
    """Mean and std (of images in 0..1) that the weights were trained with; None for `none` and for a plain file.

    A pretrained network is best fed as it was in training: build it with these rather than with those of the data.
    Raises `WrongRequest` when a trial normalised otherwise than `normalise` asks.
    """
    if weights == "imagenet":
        card = card_of(ref.name)
        return card.mean, card.std
    if weights.startswith(TRIAL):
        trial = TrialCard.read(find_trial(weights, beside) / "card.json")
        if trial.normalise != normalise:
            raise WrongRequest(
                f"weights: {weights} was trained with normalise: {trial.normalise}; set train.normalise to the same"
            )
        return trial.mean, trial.std
    return None


def find_trial(weights: str, beside: Path | None = None) -> Path:
    """The folder of `trial:STUDY/ARM/MODEL` or `trial:STUDY/ARM/MODEL/r0f0s0`.

    STUDY is the folder of a study, or the name of one that lies beside the study's own folder or in `runs`. Without a
    repeat, fold and seed it is the first finished one.
    """
    places, inside = _places(weights, beside)
    for place in places:
        folder = place / "train" / inside
        finished = [folder] if _is_run(inside.name) else sorted(folder.glob("r*f*s*"))
        finished = [trial for trial in finished if (trial / "done.json").exists()]  # written last: none in the making
        if finished:
            return finished[0]
    looked = ", ".join(str(place / "train" / inside) for place in dict.fromkeys(places))
    raise Absent(f"weights: {weights}: no trained trial there (looked in {looked}). Run that study first")


def own_trial(weights: str, root: Path) -> str | None:
    """ARM/MODEL, perhaps with its run, of a trial of the study in `root` itself; None for another study's."""
    places, inside = _places(weights, root)
    return inside.as_posix() if root.resolve() in [place.resolve() for place in places] else None


def _places(weights: str, beside: Path | None) -> tuple[list[Path], Path]:
    """The folders that STUDY may stand for, and ARM/MODEL (with its run, where one is named)."""
    names = weights.removeprefix(TRIAL).rstrip("/").split("/")
    depth = 3 if _is_run(names[-1]) else 2
    if len(names) <= depth or not all(names[-depth:]):
        raise WrongRequest(f"weights: {weights!r} is not of the form trial:STUDY/ARM/MODEL")
    study, inside = "/".join(names[:-depth]), Path(*names[-depth:])
    places = [Path(os.path.expanduser(study)), Path("runs") / study]
    if beside is not None:
        places[1:1] = [beside.parent / study]
    return places, inside


def _is_run(name: str) -> bool:
    digits = name.replace("r", "", 1).replace("f", "", 1).replace("s", "", 1)
    return name.startswith("r") and digits.isdigit() and "f" in name and "s" in name


def _load_published(backbone: Backbone) -> Origin:
    card = backbone.card
    need_published(card)
    state = read_state(published_file(card.weights))
    notes = fit(backbone, backbone.published(state), card.weights, head="where it fits")
    return Origin(card.weights, notes)


def _load_file(backbone: Backbone, path: Path) -> Origin:
    if not path.is_file():
        raise Absent(
            f"weights: there is no file {path}. Valid: none, imagenet, the path of a safetensors file or a PyTorch "
            "state dict, trial:STUDY/ARM/MODEL"
        )
    state = read_state(path)
    ours = own_state(state)
    notes = fit(backbone, backbone.published(state) if ours is None else ours, str(path), head="where it fits")
    beside = path.with_name("contents.json")
    return Origin(str(path), notes, beside if beside.exists() else None)


def _load_trial(backbone: Backbone, folder: Path) -> Origin:
    card = TrialCard.read(folder / "card.json")
    if card.part != backbone.card.name:
        raise WrongRequest(f"weights: {folder} is a trained {card.part}, not a {backbone.card.name}")
    contents = folder / "contents.json"
    if not contents.exists():
        raise Absent(f"weights: {contents} is missing: without it nobody can say whether test rows leak")
    state = own_state(read_state(folder / "best.safetensors"))
    if state is None:
        raise WrongRequest(f"weights: {folder / 'best.safetensors'} was not written by this program")
    notes = fit(backbone, state, str(folder), head="never")
    return Origin(
        f"{TRIAL}{card.study}/{card.arm}/{card.model}/r{card.repeat}f{card.fold}s{card.seed}", notes, contents
    )
