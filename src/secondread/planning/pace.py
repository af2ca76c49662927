"""How fast this machine trains a network, measured for a second or two."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import torch
from torch import nn

from secondread.core.spec import ref
from secondread.learning.devices import machine
from secondread.learning.graphs import recorded
from secondread.learning.optimisers import adamw
from secondread.models.build import build_classifier
from secondread.models.spec import ModelSpec

SECONDS = 1.5
FEWEST_STEPS = 3
WARM_UP = 5
"""A GPU records the step at its fourth call."""


@cache
def images_per_second(model: str, size: int, batch: int, classes: int) -> float:
    """Images of `size` pixels that one optimiser step after another takes in a second, in the precision of a training.

    What reads and changes images stands at a few percent of it (RESULTS.md).
    """
    step = bare_step(model, size, batch, classes)
    for _ in range(WARM_UP):
        float(step())
    begun, steps = time.perf_counter(), 0
    while steps < FEWEST_STEPS or time.perf_counter() - begun < SECONDS:
        float(step())
        steps += 1
    return steps * batch / (time.perf_counter() - begun)


def bare_step(model: str, size: int, batch: int, classes: int) -> Callable[[], torch.Tensor]:
    """One optimiser step on the same batch of tensors again and again, in our layout, as a graph on a GPU: its loss."""
    place = machine()
    spec = ModelSpec(max(classes, 2), 1, size, "multiclass")
    network = build_classifier(ref(model), spec, mean=(0.5,), std=(0.25,), seed=0)
    network.to(place.device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    place.choose_precision(network)
    optimiser = adamw(network.parameters(), lr=1e-4)
    images = torch.rand(batch, 1, size, size, device=place.device) * 255
    labels = torch.arange(batch, device=place.device) % spec.classes

    def learn(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with place.accelerator.autocast():
            loss = nn.functional.cross_entropy(network(images).float(), labels)
        place.accelerator.backward(loss)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        return loss.detach(), loss.detach()

    step = recorded(learn, optimiser, place)
    return lambda: step(images, labels)[0]
