"""Every model: importing this module registers them all."""

from __future__ import annotations

from secondread.models.card import ModelCard, card_of
from secondread.models.families import (
    alexnet,
    coded_cnn,
    darkcovidnet,
    densenet,
    efficientnet,
    googlenet,
    plain,
    resnet,
    resnet_v2,
    timm_any,
    vgg,
)

__all__ = ["LEAVES", "ModelCard", "card_of", "min_size"]
LEAVES = (plain, alexnet, vgg, resnet, resnet_v2, densenet, googlenet, efficientnet, darkcovidnet, coded_cnn, timm_any)


def min_size(name: str) -> int:
    """The smallest image side the model of that name takes."""
    return card_of(name).min_size
