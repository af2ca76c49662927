"""Every registered optimiser learns, scales its groups and says its defaults."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from secondread.core.registry import find, parts, resolve
from secondread.core.spec import ref
from secondread.learning.optimisers import decayed_groups

NAMES = list(parts("optimisers"))


@pytest.mark.parametrize("name", NAMES)
def test_it_lowers_a_convex_loss(name: str) -> None:
    weight = nn.Parameter(torch.full((5,), 2.0))
    optimiser = resolve("optimisers", ref(name, lr=0.05))([weight])
    for _ in range(200):
        optimiser.zero_grad()
        weight.square().sum().backward()
        optimiser.step()
    assert weight.abs().max() < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_a_group_may_scale_the_learning_rate_and_drop_the_decay(name: str) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    groups = decayed_groups(model.named_parameters(), lr_scale=0.5)
    optimiser = resolve("optimisers", ref(name, lr=0.1, weight_decay=0.3))(groups)
    assert [group["lr"] for group in optimiser.param_groups] == [0.05, 0.05]
    assert [group["weight_decay"] for group in optimiser.param_groups] == [0.3, 0.0]
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(list(model.parameters()))


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_summary_and_defaults(name: str) -> None:
    part = find("optimisers", name)
    assert part.summary.endswith(".")
    assert {"lr", "weight_decay"} <= set(part.options)
