"""EfficientNet-B0 (Tan 2019), torchvision's network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from secondread.core.limits import BelowOne
from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.spec import ModelSpec

# network


class EfficientNet(Backbone):
    head_key = "classifier.1"

    def __init__(self, spec: ModelSpec, net: Any, card: ModelCard) -> None:
        super().__init__(spec, net.classifier[1].in_features, gap=True, dropout=net.classifier[0].p)
        del net.classifier
        self.net: Any = net
        self.card = card

    def feature_maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.net.features(images)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[block] for block in self.net.features]


# registered names

EFFICIENTNET_B0 = add_card(
    ModelCard(
        "efficientnet_b0", "efficientnet", "features[8], the last 1×1 convolution after its SiLU",
        "BSD-3-Clause (torchvision)", weights="torchvision:EfficientNet_B0_Weights.IMAGENET1K_V1",
        licence_weights="Apache-2.0 (converted by timm), trained on ImageNet-1k",
    )
)  # fmt: skip


@part("models", "efficientnet_b0")
def efficientnet_b0(spec: ModelSpec, /, *, stochastic_depth: BelowOne = 0.2) -> Backbone:
    """EfficientNet-B0 of torchvision; dropout 0.2 before the head unless the study sets one."""
    import torchvision

    net = torchvision.models.efficientnet_b0(weights=None, stochastic_depth_prob=stochastic_depth)
    return EfficientNet(spec, net, EFFICIENTNET_B0)
