"""The one shape every network has: image → maps of the CAM layer → features → logits."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from secondread.models.card import ModelCard
from secondread.models.spec import ModelSpec

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


class DenseHead(nn.Module):
    """Features → logits: one linear layer, or dense → ReLU → linear as systems B and E have it; dropout before each."""

    def __init__(self, features: int, classes: int, hidden: int = 0, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(features, hidden) if hidden else None
        self.output = nn.Linear(hidden or features, classes)

    def forward(self, features: Tensor) -> Tensor:
        """[B,F] → [B,K]."""
        features = self.dropout(features)
        if self.hidden is not None:
            features = self.dropout(torch.relu(self.hidden(features)))
        logits: Tensor = self.output(features)
        return logits


class Backbone(nn.Module, ABC):
    """A network in three parts. A leaf writes `feature_maps`, `pooled` and `stages`.

    feature_maps: normalised images [B,C,H,W] → maps [B,F,h,w], the CAM layer's output after its last non-linearity
    pooled:       maps → features [B,F']: all that stands between the CAM layer and the head
    head:         features → logits [B,K]
    """

    card: ModelCard
    head_key: ClassVar[str] = ""
    """Name of the last linear layer in the network's published state dict; what replaces it is `dense`."""
    untrained_keys: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the names of published weights that are not taken over."""
    never_trained: ClassVar[tuple[str, ...]] = ()
    """Children that stay frozen in every regime."""
    fixed_statistics: ClassVar[Statistics | None] = None
    """Normalisation that the network needs whatever the data are."""

    def __init__(
        self, spec: ModelSpec, features: int, *, in_channels: int = 3, gap: bool = False, dropout: float = 0.0
    ) -> None:
        """`gap`: `pooled` is global average pooling and nothing else; `dropout` holds unless the study sets one."""
        super().__init__()
        self.spec = spec
        self.in_channels = in_channels
        self.linear_head = gap and not spec.head.hidden
        """Whether a class activation map by the head's weights is exact (Zhou 2016, eq. 2)."""
        self.dense = DenseHead(features, spec.classes, spec.head.hidden, spec.head.dropout or dropout)
        self._frozen = False

    @abstractmethod
    def feature_maps(self, images: Tensor) -> Tensor:
        """Normalised images [B,C,H,W] → [B,F,h,w]."""

    @abstractmethod
    def pooled(self, maps: Tensor) -> Tensor:
        """[B,F,h,w] → [B,F']."""

    @abstractmethod
    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """The trunk's modules in groups from the input on, without `dense`."""

    def head(self, features: Tensor) -> Tensor:
        """[B,F'] → [B,K]."""
        logits: Tensor = self.dense(features)
        return logits

    def maps_and_aux(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """As `feature_maps`, with the logits of auxiliary classifiers where the network has them."""
        return self.feature_maps(images), ()

    def published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A published state dict of this architecture under our names."""
        return {("dense.output" + key.removeprefix(self.head_key)) if self._is_head(key) else f"net.{key}": tensor
                for key, tensor in state.items() if not key.startswith(self.untrained_keys)}  # fmt: skip

    def _is_head(self, key: str) -> bool:
        return bool(self.head_key) and key.startswith(f"{self.head_key}.")

    @property
    def min_size(self) -> int:
        return self.card.min_size

    @property
    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())

    @property
    def counted_card(self) -> ModelCard:
        return dataclasses.replace(self.card, parameters=self.parameter_count)

    @property
    def frozen(self) -> bool:
        return self._frozen

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Every parameter that may be trained exactly once, in groups from the input to the head (the last)."""
        groups = [[parameter for module in stage for parameter in module.parameters()] for stage in self.stages()]
        return [group for group in groups if group] + [list(self.dense.parameters())]

    def freeze(self) -> None:
        """Train the head only: the trunk gets no gradients, and its BatchNorm and dropout stay in eval mode."""
        self._set_frozen(True)

    def unfreeze(self) -> None:
        self._set_frozen(False)

    def _set_frozen(self, frozen: bool) -> None:
        self._frozen = frozen
        for name, child in self.named_children():
            if name != "dense":
                child.requires_grad_(not frozen and name not in self.never_trained)
        self.train(self.training)

    def train(self, mode: bool = True) -> Backbone:
        super().train(mode)
        for name, child in self.named_children():
            if (self._frozen and name != "dense") or name in self.never_trained:
                child.eval()
        return self
