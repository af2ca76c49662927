"""ResNet-50 V2, with BatchNorm and ReLU before each convolution (He 2016), timm's network.

torchvision has no pre-activation ResNet. timm's `resnetv2_50` is the one that Keras calls ResNet50V2, trained by timm
with mean and std of 0.5, which is also what Keras' preprocessing does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.spec import ModelSpec

# network


class ResNetV2(Backbone):
    head_key = "head.fc"

    def __init__(self, spec: ModelSpec, net: Any, card: ModelCard) -> None:
        super().__init__(spec, net.num_features, gap=True)
        self.net: Any = net
        self.card = card

    def feature_maps(self, images: Tensor) -> Tensor:
        maps: Tensor = self.net.forward_features(images)
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[self.net.stem], *([stage] for stage in self.net.stages[:-1]), [self.net.stages[-1], self.net.norm]]

    def published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """timm's head is a 1×1 convolution."""
        return super().published({key: t.flatten(1) if key == "head.fc.weight" else t for key, t in state.items()})


# registered names

RESNET50V2 = add_card(
    ModelCard(
        "resnet50v2", "resnet_v2", "the last BatchNorm after its ReLU", "Apache-2.0 (timm)",
        weights="timm:resnetv2_50.a1h_in1k", licence_weights="Apache-2.0 (timm), trained on ImageNet-1k",
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
    )
)  # fmt: skip


@part("models", "resnet50v2")
def resnet50v2(spec: ModelSpec, /) -> Backbone:
    """ResNet-50 V2 (pre-activation) of timm."""
    import timm

    return ResNetV2(spec, timm.create_model("resnetv2_50", pretrained=False, num_classes=0), RESNET50V2)
