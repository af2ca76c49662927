"""ResNet-18, -34 and -50 (He 2015), torchvision's networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.spec import ModelSpec

# network


class ResNet(Backbone):
    head_key = "fc"

    def __init__(self, spec: ModelSpec, net: Any, card: ModelCard) -> None:
        super().__init__(spec, net.fc.in_features, gap=True)
        del net.fc
        self.net: Any = net
        self.card = card

    def feature_maps(self, images: Tensor) -> Tensor:
        net = self.net
        maps = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        maps_of_layer4: Tensor = net.layer4(net.layer3(net.layer2(net.layer1(maps))))
        return maps_of_layer4

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        net = self.net
        return [[net.conv1, net.bn1], [net.layer1], [net.layer2], [net.layer3], [net.layer4]]


# builder


def _build(spec: ModelSpec, card: ModelCard) -> Backbone:
    import torchvision

    return ResNet(spec, torchvision.models.get_model(card.name, weights=None), card)


def _card(name: str, weights: str) -> ModelCard:
    return add_card(
        ModelCard(
            name, "resnet", "layer4, the last block after its ReLU", "BSD-3-Clause (torchvision)",
            weights=f"torchvision:{weights}", licence_weights="BSD-3-Clause (torchvision), trained on ImageNet-1k",
        )
    )  # fmt: skip


# registered names

RESNET18 = _card("resnet18", "ResNet18_Weights.IMAGENET1K_V1")
RESNET34 = _card("resnet34", "ResNet34_Weights.IMAGENET1K_V1")
# V1, not V2: the recipe of the V2 weights makes features that transfer worse with a frozen trunk, and V1 is what the
# published systems used. The V2 file still loads by its path.
RESNET50 = _card("resnet50", "ResNet50_Weights.IMAGENET1K_V1")


@part("models", "resnet18")
def resnet18(spec: ModelSpec, /) -> Backbone:
    """ResNet-18 of torchvision."""
    return _build(spec, RESNET18)


@part("models", "resnet34")
def resnet34(spec: ModelSpec, /) -> Backbone:
    """ResNet-34 of torchvision."""
    return _build(spec, RESNET34)


@part("models", "resnet50")
def resnet50(spec: ModelSpec, /) -> Backbone:
    """ResNet-50 of torchvision (stride in the 3×3 convolution)."""
    return _build(spec, RESNET50)
