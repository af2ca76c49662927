"""From a part's name to a classifier, and from a trial's folder back to one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import write_with
from secondread.core.registry import resolve
from secondread.core.spec import Normalise, PartRef
from secondread.models.backbone import Backbone, Statistics
from secondread.models.card import TrialCard, need_size
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec
from secondread.models.weights import load_weights

DRAWING = {Tensor.normal_, Tensor.uniform_}


def build_classifier(
    ref: PartRef,
    spec: ModelSpec,
    *,
    mean: Sequence[float],
    std: Sequence[float],
    normalise: Normalise = "dataset",
    weights: str = "none",
    prior: Sequence[float] | None = None,
    seed: int | None = None,
    beside: Path | None = None,
) -> Classifier:
    """The classifier that a study file names, in train mode.

    `mean`, `std`: of images in 0..1, one value or one per colour (averaged for a network of one channel); a network
    that needs its own, `coded_cnn`, takes those instead. `normalise`: `image` takes each image by its own mean and
    spread, and `mean` and `std` are not used.
    `weights`: `none`, `imagenet`, a file, or `trial:STUDY/ARM/MODEL`; see `models.weights`. `classifier.origin` tells
    what was loaded, what was left out, and the contents it was fitted on.
    `prior`: share of each class, for the first output bias. `seed`: of the fresh weights; None draws from torch's
    global generator. `beside`: the study's own folder, beside which STUDY is looked for.
    Raises `WrongRequest` (options, size, weights that do not fit) or `Absent` (weights that are not here).
    """
    with _seeded(seed):
        backbone = _backbone(ref, spec)
    classifier = Classifier(backbone, *_statistics(backbone, mean, std, normalise), normalise)
    classifier.origin = load_weights(backbone, weights, beside=beside)
    if prior is not None:
        classifier.set_prior(prior)
    return classifier


def save_weights(classifier: Classifier, path: Path) -> None:
    """Write all weights and the normalisation as safetensors; any memory format comes out contiguous."""
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in classifier.state_dict().items()}
    write_with(path, lambda temporary: save_file(tensors, temporary, {"model": classifier.backbone.card.name}))


def load_trial(folder: Path, weights: str = "best.safetensors") -> tuple[Classifier, TrialCard]:
    """The trained classifier of a trial's folder, in eval mode, and its card; raises `BadData` when they do not fit."""
    from safetensors.torch import load_file

    card = TrialCard.read(folder / "card.json")
    with _seeded(0), Undrawn():  # leaves the caller's random numbers alone
        backbone = _backbone(card.ref, card.spec)
    classifier = Classifier(backbone, card.mean, card.std, card.normalise)
    try:
        classifier.load_state_dict(load_file(folder / weights))
    except (OSError, RuntimeError, ValueError) as error:
        told = str(error).splitlines()[-1].strip()
        raise BadData(f"{folder / weights} cannot be loaded into {card.part}: {told}") from error
    return classifier.eval(), card


def shapes_of(ref: PartRef, spec: ModelSpec) -> dict[str, torch.Size]:
    """The shape of every tensor of the network, by the names of its state dict."""
    with _seeded(0), Undrawn():
        return {name: tensor.shape for name, tensor in _backbone(ref, spec).state_dict().items()}


def _backbone(ref: PartRef, spec: ModelSpec) -> Backbone:
    build = resolve("models", ref)
    need_size(ref.name, spec.size)
    try:
        backbone: Backbone = build(spec)
    except (ValueError, RuntimeError, ZeroDivisionError) as error:  # a width that no memory holds
        raise WrongRequest(f"models: {ref.name} cannot be built with {ref.options}: {error}") from error
    return backbone


def _statistics(backbone: Backbone, mean: Sequence[float], std: Sequence[float], normalise: Normalise) -> Statistics:
    """What the classifier normalises with, after each image was taken by its own where that is asked for."""
    if normalise == "image":
        if backbone.fixed_statistics is not None:
            raise WrongRequest(
                f"train.normalise: image: {backbone.card.name} takes images in 0..1, as its autoencoder learnt them; "
                "use dataset"
            )
        return (0.0,), (1.0,)
    if backbone.fixed_statistics is not None:
        return backbone.fixed_statistics
    if backbone.in_channels == 1 and len(mean) > 1:
        return (sum(mean) / len(mean),), (sum(std) / len(std),)
    return tuple(mean), tuple(std)


class Undrawn(TorchFunctionMode):
    """Leave weights as memory holds them where a file overwrites them all: drawing those of a VGG takes seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func in DRAWING else func(*args, **(kwargs or {}))


@contextlib.contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
