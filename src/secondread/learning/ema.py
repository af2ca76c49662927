"""Exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The average of a model's weights and buffers, w̄ ← d·w̄ + (1−d)·w after each step.

    The decay d is ramped up as (1+t)/(10+t), so that the first weights are soon forgotten. The model's tensors must
    stay where they are in memory: put it on its device and in its layout before.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._live = {name: tensor.detach() for name, tensor in model.state_dict().items()}  # shares their memory
        self.weights = {name: tensor.clone() for name, tensor in self._live.items()}
        floats = [name for name, tensor in self.weights.items() if tensor.is_floating_point()]
        self._floats = [self.weights[name] for name in floats], [self._live[name] for name in floats]
        counts = [name for name in self.weights if name not in set(floats)]
        self._counts = [self.weights[name] for name in counts], [self._live[name] for name in counts]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the model's weights after optimiser step `step` (from 0)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._floats, 1 - decay)
        if self._counts[0]:
            torch._foreach_copy_(*self._counts)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        own = {name: tensor.clone() for name, tensor in self._live.items()}
        _copy(self.weights, self._live)
        try:
            yield
        finally:
            _copy(own, self._live)

    def load(self, weights: dict[str, Tensor]) -> None:
        for name, tensor in weights.items():
            self.weights[name].copy_(tensor)


@torch.no_grad()
def _copy(weights: dict[str, Tensor], live: dict[str, Tensor]) -> None:
    for name, tensor in live.items():
        tensor.copy_(weights[name])
