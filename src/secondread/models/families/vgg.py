"""VGG-16 and VGG-19 (Simonyan 2014), torchvision's networks, with their own dense layers or global average pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from secondread.core.limits import BelowOne, Count
from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.initialisation import he_initialise
from secondread.models.pooling import FixedAdaptivePool
from secondread.models.spec import ModelSpec

Top = Literal["auto", "dense", "gap"]

# layers


def dense_layers(inputs: int, width: int, dropout: float) -> nn.Sequential:
    """The two dense layers; the indices of the linear ones are those of torchvision's classifier."""
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(inplace=True), nn.Dropout(dropout),
        nn.Linear(width, width), nn.ReLU(inplace=True), nn.Dropout(dropout),
    )  # fmt: skip


# network


class Vgg(Backbone):
    """With dense layers the CAM layer is the last ReLU; with global average pooling it is the max-pool behind it, so
    that pooling and head follow directly, as Keras' `include_top=False, pooling="avg"` has it."""

    head_key = "classifier.6"

    def __init__(self, spec: ModelSpec, card: ModelCard, features: Any, dense: int, dropout: float) -> None:
        """`dense`: width of the dense layers; 0 puts global average pooling in their place."""
        super().__init__(spec, dense or 512, gap=not dense)
        self.net: Any = nn.ModuleDict({"features": features})
        if dense:
            self.net["classifier"] = dense_layers(512 * 49, dense, dropout)
        self.pool = FixedAdaptivePool(spec.size // 32, 7)
        self.card = card
        he_initialise(self.net)

    @property
    def has_dense(self) -> bool:
        return "classifier" in self.net

    def feature_maps(self, images: Tensor) -> Tensor:
        layers = self.net["features"]
        maps: Tensor = layers[:-1](images) if self.has_dense else layers(images)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        if not self.has_dense:
            return maps.mean((2, 3))
        maps = self.pool(self.net["features"][-1](maps))
        features: Tensor = self.net["classifier"](maps.flatten(1))
        return features

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        groups: list[list[nn.Module]] = [[]]
        for layer in self.net["features"]:
            groups[-1].append(layer)
            if isinstance(layer, nn.MaxPool2d):
                groups.append([])
        if self.has_dense:
            groups += [[layer] for layer in self.net["classifier"]]
        return groups

    def published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        kept = {key: tensor for key, tensor in state.items() if self.has_dense or not key.startswith("classifier.")}
        return super().published(kept)


# builder


def _build(spec: ModelSpec, card: ModelCard, top: Top, dense: int, dropout: float) -> Backbone:
    import torchvision

    with torch.device("meta"):  # the layers only: 120 million dense weights need not be drawn to be thrown away
        features = torchvision.models.get_model(card.name, weights=None, init_weights=False).features
    own_top = top == "dense" or (top == "auto" and not spec.head.hidden)
    return Vgg(spec, card, features.to_empty(device="cpu"), dense if own_top else 0, dropout)


def _card(name: str, weights: str) -> ModelCard:
    return add_card(
        ModelCard(
            name, "vgg", "the last convolution after its ReLU (with `top: gap` after its max-pool)",
            "BSD-3-Clause (torchvision)", weights=f"torchvision:{weights}",
            licence_weights="CC-BY-4.0 (Oxford VGG), trained on ImageNet-1k",
        )
    )  # fmt: skip


# registered names

VGG16 = _card("vgg16", "VGG16_Weights.IMAGENET1K_V1")
VGG19 = _card("vgg19", "VGG19_Weights.IMAGENET1K_V1")


@part("models", "vgg16")
def vgg16(spec: ModelSpec, /, *, top: Top = "auto", dense: Count = 4096, dropout: BelowOne = 0.5) -> Backbone:
    """VGG-16; `top`: its two `dense` layers, or `gap` (`auto`: gap where the study asks for a hidden head layer)."""
    return _build(spec, VGG16, top, dense, dropout)


@part("models", "vgg19")
def vgg19(spec: ModelSpec, /, *, top: Top = "auto", dense: Count = 4096, dropout: BelowOne = 0.5) -> Backbone:
    """VGG-19; `top`: its two `dense` layers, or `gap` (`auto`: gap where the study asks for a hidden head layer)."""
    return _build(spec, VGG19, top, dense, dropout)
