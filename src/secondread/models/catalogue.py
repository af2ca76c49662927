"""Every model: importing this module registers them all."""

from __future__ import annotations

from secondread.core.spec import Train
from secondread.models.card import ModelCard, card_of, need_published, need_size
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

__all__ = ["LEAVES", "ModelCard", "card_of", "forbid_misfits", "min_size"]
LEAVES = (plain, alexnet, vgg, resnet, resnet_v2, densenet, googlenet, efficientnet, darkcovidnet, coded_cnn, timm_any)


def min_size(name: str) -> int:
    """The smallest image side the model of that name takes."""
    return card_of(name).min_size


def forbid_misfits(train: Train) -> None:
    """Raises `WrongRequest` for a model that images of this size are too small for, or that has no such weights."""
    for model in train.models:
        need_size(model.name, train.size)
        if train.weights == "imagenet":
            need_published(card_of(model.name))
