"""The card of a bundle: what the model is, what it was proven to do, and the digests that seal its files."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, Literal

from secondread.core.errors import WrongRequest
from secondread.core.files import sha256_of_json

FORMAT = 1
ABSENT: dict[str, Any] = {"frames": "refuse", "expected": {}}
"""Fields that are not written with these values: digests of bundles from before there were such stay as they are."""
DISCLAIMER = "For research and education, not a medical device."


@dataclass(frozen=True)
class FileSeal:
    sha256: str
    bytes: int


@dataclass(frozen=True)
class GateCard:
    """When an image is too far from the training images to be read (the statistics lie in reference.npz)."""

    kind: Literal["mahalanobis", "mahalanobis_joint"]
    """How its two distances are put together, see `gate.together`."""
    threshold: float
    """Largest distance that is still read."""
    quantile: float
    """Share of validation images within the threshold when it was set."""
    fitted_on: int
    """Training images that the mean and covariance come from."""
    checked_on: int
    """Validation images that the threshold comes from."""


@dataclass(frozen=True)
class BundleCard:
    """All that `read` and `serve` need to know about a model besides its graph."""

    name: str
    study: str
    arm: str
    model: str
    task: Literal["binary", "multiclass", "multilabel"]
    classes: list[str]
    """Order of all outputs; of two exclusive classes the second is the positive one."""
    channels: Literal[1, 3]
    size: int
    fit: Literal["stretch", "pad", "crop"]
    intensity: Literal["full_range", "percentile", "window"]
    """How more than 8 bits become uint8, as in training."""
    crop_border: float
    thresholds: dict[str, float]
    """Of every class. Of exclusive ones that with the largest probability over threshold is decided (of two: the second
    from its threshold on), a label from its threshold on."""
    uncertain: dict[str, list[float]]
    """Of every class, lower and upper probability: a label between them is uncertain, a decision for an exclusive class
    when it lies below the upper. Equal: never."""
    about: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    decoder: str = ""
    gate: GateCard | None = None
    no_gate: str = ""
    """Why there is no gate, where there is none."""
    heatmaps: str = ""
    """Method of the heatmaps; empty when the graph has none."""
    no_heatmaps: str = ""
    """Why there are none."""
    precision: Literal["fp32", "int8"] = "fp32"
    precision_reason: str = ""
    tolerance: float = 1e-3
    """How far, as a share of 1 + their spread, the reference logits may lie off when the bundle is opened."""
    calibration: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """Rows of scores.csv: split, class, metric, value, low, high, n, method."""
    expected: dict[str, Any] = field(default_factory=dict)
    """What it does with test images, one of a patient, as counts: `images`, `refused`, `uncertain`, and `decided` by
    class; not in card.json where nobody counted."""
    cohort: dict[str, Any] = field(default_factory=dict)
    banners: list[str] = field(default_factory=list)
    """Warnings of the study that every reading inherits, such as LEAKY PROTOCOL."""
    frames: Literal["refuse", "first"] = "refuse"
    """Of a file with several: read none, or the first as training did; not in card.json where none is read."""
    members: list[str] = field(default_factory=list)
    """Trials inside: one, or several whose logits are averaged."""
    licence: str = ""
    intended_use: str = DISCLAIMER
    created: str = ""
    versions: dict[str, Any] = field(default_factory=dict)
    files: dict[str, FileSeal] = field(default_factory=dict)
    format: int = FORMAT
    sha256: str = ""
    """Digest of this card without this field: with `files` it pins the whole bundle."""

    def to_json(self) -> dict[str, Any]:
        told = asdict(self)
        for name, absent in ABSENT.items():
            if told[name] == absent:
                del told[name]
        return told

    def digest(self) -> str:
        return sha256_of_json({key: value for key, value in self.to_json().items() if key != "sha256"})

    def sealed(self, files: dict[str, FileSeal]) -> BundleCard:
        """This card with the digests of the bundle's other files, and its own."""
        open_card = replace(self, files=files)
        return replace(open_card, sha256=open_card.digest())


def card_of(content: bytes) -> BundleCard:
    """The card in `content`, its structure, version and own digest checked; raises `WrongRequest` with the reason."""
    try:
        written = json.loads(content, object_pairs_hook=_no_key_twice, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WrongRequest(f"card.json is not readable: {error}") from error
    if not isinstance(written, dict) or "format" not in written:
        raise WrongRequest("card.json is not the card of a secondread bundle")
    if written["format"] != FORMAT:
        raise WrongRequest(
            f"card.json has format {written['format']!r}; this version reads format {FORMAT}. "
            "Export the model again, or update secondread"
        )
    card: BundleCard = _typed(BundleCard, ABSENT | written, "card.json")
    if card.digest() != card.sha256:
        raise WrongRequest("card.json was changed after export: its digest does not match its content")
    _check_sense(card)
    return card


def _check_sense(card: BundleCard) -> None:
    if len(card.classes) < (1 if card.task == "multilabel" else 2) or len(set(card.classes)) != len(card.classes):
        raise WrongRequest(f"card.json: {len(card.classes)} classes do not make a {card.task} task")
    if card.task == "binary" and len(card.classes) != 2:
        raise WrongRequest("card.json: a binary task has two classes")
    if not set(card.thresholds) == set(card.uncertain) == set(card.classes):
        raise WrongRequest("card.json: thresholds and uncertain bands are not those of its classes")
    if any(len(band) != 2 or band[0] > band[1] for band in card.uncertain.values()):
        raise WrongRequest("card.json: an uncertain band is [lower, upper]")
    if not (16 <= card.size <= 4096 and 0.0 <= card.crop_border < 0.5 and 0.0 < card.tolerance <= 1.0):
        raise WrongRequest("card.json: size, crop_border or tolerance is out of range")
    if card.expected and not _adds_up(card.expected, card.classes):
        raise WrongRequest("card.json: what is expected of test images does not add up")
    if card.gate is not None and not 0.0 < card.gate.threshold < float("inf"):
        raise WrongRequest("card.json: the gate's threshold is a positive distance")


def _adds_up(expected: dict[str, Any], classes: Sequence[str]) -> bool:
    """Whether these are counts of images: of all, of some of them, and of each class among the others."""
    decided = expected.get("decided")
    if set(expected) != {"images", "refused", "uncertain", "decided"} or not isinstance(decided, dict):
        return False
    counts = [expected["images"], expected["refused"], expected["uncertain"], *decided.values()]
    if any(type(count) is not int or count < 0 for count in counts) or not set(decided) <= set(classes):
        return False
    read = expected["images"] - expected["refused"]
    return bool(expected["images"] > 0 and max(expected["uncertain"], *decided.values(), 0) <= read)


def _typed(kind: Any, value: Any, place: str) -> Any:
    """`value` from JSON as the annotated type `kind`; raises `WrongRequest` naming the place that does not fit."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if is_dataclass(kind):
        return _dataclass_of(kind, value, place)
    if origin in (types.UnionType, typing.Union):
        return None if value is None else _typed(next(k for k in inner if k is not types.NoneType), value, place)
    if origin is typing.Literal:
        fits = value in inner and not isinstance(value, bool)
    elif origin is list and isinstance(value, list):
        return [_typed(inner[0], item, f"{place}[{at}]") for at, item in enumerate(value)]
    elif origin is dict and isinstance(value, dict):
        return {key: _typed(inner[1], item, f"{place}.{key}") for key, item in value.items()}
    elif kind is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if fits else value
    else:
        fits = kind is Any or (isinstance(kind, type) and type(value) is kind)
    if not fits:
        raise WrongRequest(f"{place}: {str(value)[:40]!r} does not fit")
    return value


def _dataclass_of(kind: Any, value: Any, place: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {spec.name for spec in fields(kind)}
    if not isinstance(value, dict) or set(value) != known:
        odd = sorted(known ^ set(value)) if isinstance(value, dict) else [type(value).__name__]
        raise WrongRequest(f"{place}: missing or unknown: {', '.join(odd[:5])}")
    return kind(**{name: _typed(hints[name], value[name], f"{place}.{name}") for name in known})


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def means_of_trainings(members: int, metrics: Sequence[dict[str, Any]]) -> bool:
    """Whether the figures of an ensemble are those of its members, as before the seeds were scored together."""
    return members > 1 and any(str(row.get("method", "")).startswith("mean of ") for row in metrics)
