"""Cards: what is known about a network (`ModelCard`) and about one trained trial (`TrialCard`). Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import read_json, write_json
from secondread.core.spec import Head, Normalise, PartRef
from secondread.core.tables import Task
from secondread.models.spec import ModelSpec

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelCard:
    """What is known about a network before any training."""

    name: str
    family: str
    cam_layer: str
    """In words: the layer whose output `Backbone.feature_maps` returns."""
    licence_code: str
    min_size: int = 32
    default_size: int = 224
    weights: str = ""
    """Pretrained weights that exist, as `torchvision:…` or `timm:…`; empty when there are none."""
    licence_weights: str = ""
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    """The normalisation (of images in 0..1) those weights were trained with."""
    parameters: int = 0
    """Counted on the built network; 0 on the card of a name."""
    remarks: str = ""


_CARDS: dict[str, ModelCard] = {}
_FAMILIES: dict[str, Callable[[str], ModelCard]] = {}


def add_card(card: ModelCard) -> ModelCard:
    _CARDS[card.name] = card
    return card


def add_family(prefix: str, card_of_variant: Callable[[str], ModelCard]) -> None:
    """Let `card_of_variant` answer for every name that begins with `prefix` (which ends in a slash)."""
    _FAMILIES[prefix] = card_of_variant


def card_of(name: str) -> ModelCard:
    """The card of a model by the name of its part; its leaf must have been imported (see `models.catalogue`)."""
    if name in _CARDS:
        return _CARDS[name]
    for prefix, make in _FAMILIES.items():
        if name.startswith(prefix):
            return make(name.removeprefix(prefix))
    raise WrongRequest(f"there is no card of a model {name!r}. Known: {', '.join(_CARDS)}")


def need_size(name: str, size: int) -> None:
    """Raises `WrongRequest` for images that are too small for the model."""
    least = card_of(name).min_size
    if size < least:
        raise WrongRequest(f"train: size {size} is too small for {name}: it needs at least {least} pixels")


def need_published(card: ModelCard) -> None:
    """Raises `WrongRequest` for a model of which nobody published weights."""
    if not card.weights:
        raise WrongRequest(
            f"weights: imagenet: there are none for {card.name}. Valid: none, the path of a file, trial:STUDY/ARM/MODEL"
        )


@dataclass(frozen=True)
class TrialCard:
    """All that is needed to rebuild and to judge one trained trial (`train/<trial>/card.json`)."""

    study: str
    arm: str
    model: str
    """The label of the model in the study file."""
    repeat: int
    fold: int
    seed: int
    part: str
    """The name of the model's part."""
    options: dict[str, Any]
    classes: tuple[str, ...]
    task: Task
    channels: int
    size: int
    fit: str
    intensity: str
    crop_border: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Of images in 0..1; as many values as the normalisation has channels (1 or 3)."""
    head: Head
    training_prior: tuple[float, ...]
    """Share of each class as the trained network assumes it: after balancing and after what the loss implies."""
    natural_prior: tuple[float, ...]
    """Share of each class among the real training rows."""
    best_epoch: int
    steps: int
    seconds: float
    contents: str
    """SHA-256 of the list of contents the trial was fitted on (`contents.json`)."""
    weights: str = "none"
    """Where the first weights came from."""
    notes: tuple[str, ...] = ()
    parameters: int = 0
    precision: str = "fp32"
    """What products were taken in while training: fp32, bf16 or fp16. Predictions are always fp32."""
    normalise: Normalise = "dataset"
    """By `mean` and `std`, or each image by its own (then they are 0 and 1)."""

    @property
    def ref(self) -> PartRef:
        return PartRef.model_validate({"name": self.part, "as": self.model, "options": self.options})

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(len(self.classes), self.channels, self.size, self.task, self.head, pretrained=True)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, numbers and texts, ready for `core.files.write_json`."""
        told = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        told["head"] = self.head.model_dump()
        return {key: list(value) if isinstance(value, tuple) else value for key, value in told.items()}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> TrialCard:
        """The card that `to_json` told; raises `BadData` when something is missing or unknown."""
        names = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(told) - names)
        try:
            if unknown:
                raise BadData(f"a trial card does not have {', '.join(unknown)}")
            plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items()}
            plain["head"] = Head.model_validate(told["head"])
            return cls(**plain)
        except (KeyError, TypeError, ValueError) as error:
            raise BadData(f"not a trial card: {error}") from error

    def write(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> TrialCard:
        """Read `card.json`; raises `BadData` naming the file."""
        try:
            return cls.from_json(read_json(path))
        except (OSError, ValueError, BadData) as error:
            told = f"cannot read the trial card {path}: {error}"
            raise BadData(f"{told} (delete it, and `secondread train` makes the trial again)") from error
