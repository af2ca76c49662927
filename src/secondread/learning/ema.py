"""Exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The average of a model's weights and buffers, w̄ ← d·w̄ + (1−d)·w after each step.

    The decay d is ramped up as (1+t)/(10+t), so that the first weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model, self.decay = model, decay
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self._floats = [name for name, tensor in self.weights.items() if tensor.is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's weights after optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        new = self.model.state_dict()
        torch._foreach_lerp_(
            [self.weights[name] for name in self._floats], [new[name] for name in self._floats], 1 - decay
        )
        for name in new.keys() - set(self._floats):
            self.weights[name].copy_(new[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        own = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        _copy(self.weights, self.model)
        try:
            yield
        finally:
            _copy(own, self.model)

    def load(self, weights: dict[str, Tensor]) -> None:
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)


@torch.no_grad()
def _copy(weights: dict[str, Tensor], model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        tensor.copy_(weights[name])
