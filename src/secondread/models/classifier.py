"""A classifier: images as the cache holds them go in, logits come out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from secondread.core.errors import WrongRequest
from secondread.core.spec import Normalise
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard
from secondread.models.weight_origin import Origin

ONE_GREY_LEVEL = 1 / 255
"""The least spread that an image is divided by: a flat one stays flat."""


class TrainOutput(NamedTuple):
    """`logits` [B,K], and those of the auxiliary classifiers, to be added to the loss at 0.3 each."""

    logits: Tensor
    aux: tuple[Tensor, ...]


class Classifier(nn.Module):
    """Normalisation and a backbone.

    Images are uint8 or float in 0..255, [B,C,H,W] with the channels of the study (1 or 3); grey is repeated for a
    network of three channels. `mean` and `std` are those of images in 0..1, one value or one per channel; with
    `normalise` image each image is taken by its own mean and spread before, all channels together.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: Backbone, mean: Sequence[float], std: Sequence[float], normalise: Normalise = "dataset"
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or len(mean) not in (1, backbone.in_channels):
            raise WrongRequest(
                f"mean and std have {len(mean)} and {len(std)} values; {backbone.card.name} takes 1"
                + (f" or {backbone.in_channels}" if backbone.in_channels > 1 else "")
            )
        if min(std) <= 0:
            raise WrongRequest(f"std must be above zero, not {min(std)}: are all images one flat grey?")
        self.backbone = backbone
        self.each_by_its_own = normalise == "image"
        self.origin = Origin()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def normalise(self, images: Tensor) -> Tensor:
        """Images 0..255 [B,C,H,W] → the network's input [B,3 or 1,H,W]."""
        scaled = images.to(self.mean.dtype) / 255
        if self.each_by_its_own:
            scaled = standardised(scaled)
        if self.mean.shape[1] > 1:
            scaled = self._coloured(scaled)
        return self._coloured((scaled - self.mean) / self.std)  # grey is repeated last: a third of the work

    def _coloured(self, images: Tensor) -> Tensor:
        return images if images.shape[1] == self.backbone.in_channels else images.expand(-1, 3, -1, -1)

    def forward(self, images: Tensor) -> Tensor:
        """Images → logits [B,K], in train mode too; `train_logits` adds the auxiliary ones."""
        return self.logits_from_maps(self.feature_maps(images))

    def train_logits(self, images: Tensor) -> TrainOutput:
        """As `forward`, with auxiliary logits when in train mode and not frozen."""
        if not self.training or self.backbone.frozen:
            return TrainOutput(self(images), ())
        maps, aux = self.backbone.maps_and_aux(self.normalise(images))
        return TrainOutput(self.logits_from_maps(maps), aux)

    def feature_maps(self, images: Tensor) -> Tensor:
        """Images → maps of the CAM layer [B,F,h,w]."""
        return self.backbone.feature_maps(self.normalise(images))

    def features_from_maps(self, maps: Tensor) -> Tensor:
        """Maps → features [B,F']."""
        return self.backbone.pooled(maps)

    def logits_from_features(self, features: Tensor) -> Tensor:
        return self.backbone.head(features)

    def logits_from_maps(self, maps: Tensor) -> Tensor:
        return self.backbone.head(self.backbone.pooled(maps))

    def features(self, images: Tensor) -> Tensor:
        """Images → features [B,F'], what a head regime computes once per image."""
        return self.backbone.pooled(self.feature_maps(images))

    @property
    def card(self) -> ModelCard:
        """The network's card with its parameters counted."""
        return self.backbone.counted_card

    @property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and std in force, of images in 0..1."""
        return tuple(self.mean.flatten().tolist()), tuple(self.std.flatten().tolist())

    @property
    def linear_head(self) -> bool:
        return self.backbone.linear_head

    @property
    def cam_weights(self) -> Tensor | None:
        """Weights [K,F] whose product with the maps is the exact class activation map; None where there is none."""
        return self.backbone.dense.output.weight if self.linear_head else None

    def freeze(self) -> None:
        self.backbone.freeze()

    def unfreeze(self) -> None:
        self.backbone.unfreeze()

    @torch.no_grad()
    def set_prior(self, prior: Sequence[float]) -> None:
        """Start the output at the prior: bias = log p for exclusive classes, logit p for independent ones.

        Keeps the first steps from being spent on the class shares (Lin 2017, section 4.1).
        """
        output = self.backbone.dense.output
        if len(prior) != output.out_features:
            raise WrongRequest(f"a prior of {len(prior)} values for {output.out_features} classes")
        share = torch.tensor(prior, dtype=output.bias.dtype).clamp(1e-4, 1 - 1e-4)
        output.bias.copy_(torch.logit(share) if self.backbone.spec.task == "multilabel" else share.log())


def standardised(images: Tensor) -> Tensor:
    """Images [B,C,H,W] in 0..1, each less its mean and over its standard deviation, all its channels together.

    What a linear change of exposure does to an image is taken back, as far as grey values were not cut off.
    """
    centred = images - images.mean((1, 2, 3), keepdim=True)
    spread = (centred * centred).mean((1, 2, 3), keepdim=True).sqrt()
    return centred / spread.clamp(min=ONE_GREY_LEVEL)
