"""AlexNet (Krizhevsky 2014, torchvision's widths) and the smaller, better regularised version of system C.

Both take grey images natively, with one input channel. Three strides leave nothing of an image under 64 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from secondread.core.limits import BelowOne, Count
from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.initialisation import he_initialise
from secondread.models.pooling import FixedAdaptivePool
from secondread.models.spec import ModelSpec

# layers


def convolutions(channels: int, widths: Sequence[int]) -> nn.Sequential:
    """11×11/4, 5×5, then 3×3 convolutions with ReLU; 3×3/2 max-pools after the first two. Ends in a ReLU."""
    layers: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(zip([channels, *widths], widths, strict=False)):
        kernel, stride, padding = ((11, 4, 2), (5, 1, 2))[number] if number < 2 else (3, 1, 1)
        layers += [nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.ReLU(inplace=True)]
        if number < 2:
            layers.append(nn.MaxPool2d(3, 2))
    return nn.Sequential(*layers)


def dense_layers(inputs: int, widths: Sequence[int], dropout: float) -> nn.Sequential:
    """Dropout, linear, ReLU for each width."""
    layers: list[nn.Module] = []
    for before, width in zip([inputs, *widths], widths, strict=False):
        layers += [nn.Dropout(dropout), nn.Linear(before, width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


# network


class AlexNet(Backbone):
    """Convolutions → (CAM layer) max-pool, 6×6 pool, dense layers → head. Names of weights as in torchvision."""

    head_key = "classifier.6"

    def __init__(
        self, spec: ModelSpec, card: ModelCard, widths: Sequence[int], dense: Sequence[int], dropout: float
    ) -> None:
        super().__init__(spec, dense[-1], in_channels=spec.channels)
        self.net: Any = nn.ModuleDict(
            {
                "features": convolutions(spec.channels, widths),
                "classifier": dense_layers(widths[-1] * 36, dense, dropout),
            }
        )
        self.last_pool = nn.MaxPool2d(3, 2)
        self.pool = FixedAdaptivePool(_last_side(spec.size), 6)
        self.card = card
        he_initialise(self.net)

    def feature_maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.net["features"](images)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        features: Tensor = self.net["classifier"](self.pool(self.last_pool(maps)).flatten(1))
        return features

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        layers = [*self.net["features"], *self.net["classifier"]]
        return [[layer] for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)]


# builder


def _last_side(size: int) -> int:
    side = (size - 7) // 4 + 1
    for _ in range(3):
        side = (side - 3) // 2 + 1
    return max(side, 1)


# registered names

ALEXNET = add_card(
    ModelCard(
        "alexnet", "alexnet", "the last convolution after its ReLU", "Apache-2.0", min_size=64,
        weights="torchvision:AlexNet_Weights.IMAGENET1K_V1",
        licence_weights="BSD-3-Clause (torchvision), trained on ImageNet-1k",
        remarks="one input channel for grey images; published colour filters are then summed",
    )
)  # fmt: skip
IMPROVED = add_card(
    ModelCard("alexnet_improved", "alexnet", "the last convolution after its ReLU", "Apache-2.0", min_size=64)
)


@part("models", "alexnet")
def alexnet(spec: ModelSpec, /, *, dense: Count = 4096, dropout: BelowOne = 0.5) -> Backbone:
    """AlexNet with one input channel for grey images; `dense`: width of its two dense layers."""
    return AlexNet(spec, ALEXNET, (64, 192, 384, 256, 256), (dense, dense), dropout)


@part("models", "alexnet_improved")
def alexnet_improved(spec: ModelSpec, /, *, dropout: BelowOne = 0.5) -> Backbone:
    """AlexNet of three convolutions (32, 64, 128) and dense layers of 1024 and 512 with dropout."""
    return AlexNet(spec, IMPROVED, (32, 64, 128), (1024, 512), dropout)
