"""DenseNet-121 (Huang 2016), torchvision's network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.spec import ModelSpec

# network


class DenseNet(Backbone):
    head_key = "classifier"

    def __init__(self, spec: ModelSpec, net: Any, card: ModelCard) -> None:
        super().__init__(spec, net.classifier.in_features, gap=True)
        del net.classifier
        self.net: Any = net
        self.card = card

    def feature_maps(self, images: Tensor) -> Tensor:
        return torch.relu(self.net.features(images))

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        names = [
            ["conv0", "norm0"],
            *([f"denseblock{n}", f"transition{n}"] for n in (1, 2, 3)),
            ["denseblock4", "norm5"],
        ]
        return [[getattr(self.net.features, name) for name in group] for group in names]

    def published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The published file is older than module names without dots: `norm.1.weight` is today's `norm1.weight`."""
        return super().published({re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): t for key, t in state.items()})


# registered names

DENSENET121 = add_card(
    ModelCard(
        "densenet121", "densenet", "norm5 after the last ReLU", "BSD-3-Clause (torchvision)",
        weights="torchvision:DenseNet121_Weights.IMAGENET1K_V1",
        licence_weights="BSD-3-Clause (converted from the authors' Torch weights), trained on ImageNet-1k",
    )
)  # fmt: skip


@part("models", "densenet121")
def densenet121(spec: ModelSpec, /) -> Backbone:
    """DenseNet-121 of torchvision."""
    import torchvision

    return DenseNet(spec, torchvision.models.densenet121(weights=None), DENSENET121)
