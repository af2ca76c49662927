"""A state read back is the state that was written, and a training that goes on from it ends the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from secondread.core.errors import BadData
from secondread.core.registry import find
from secondread.learning.checkpoints import (
    load_checkpoint,
    load_weights,
    save_checkpoint,
    save_weights,
)


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def test_any_nested_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {
        "step": 3,
        "none": None,
        "infinite": float("inf"),
        "pair": (0.9, 0.999),
        "list": [1, "two", {"three": torch.arange(4)}],
        5: {"a": torch.zeros(0), "half": torch.ones(2, dtype=torch.float16), "byte": torch.ones(2, dtype=torch.uint8)},
    }
    save_checkpoint(tmp_path / "deep" / "checkpoint", state)
    assert same(load_checkpoint(tmp_path / "deep" / "checkpoint"), state)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["checkpoint"]


def test_no_checkpoint_is_none_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"a": torch.ones(8)})
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(BadData, match="checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_an_optimiser_goes_on_to_the_same_weights_in_channels_last(name: str, tmp_path: Path) -> None:
    def network() -> nn.Module:
        torch.manual_seed(0)
        made = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 3)).to(memory_format=torch.channels_last)
        assert not made[0].weight.is_contiguous()
        return made

    def steps(model: nn.Module, optimiser: torch.optim.Optimizer, seeds: range) -> None:
        for seed in seeds:
            images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
            optimiser.zero_grad()
            model(images).square().mean().backward()
            optimiser.step()

    whole = network()
    steps(whole, find("optimisers", name).call(whole.parameters()), range(6))
    first = network()
    optimiser = find("optimisers", name).call(first.parameters())
    steps(first, optimiser, range(3))
    save_checkpoint(tmp_path / "c", {"model": first.state_dict(), "optimiser": optimiser.state_dict()})
    second = network()
    optimiser = find("optimisers", name).call(second.parameters())
    state = load_checkpoint(tmp_path / "c")
    assert state is not None
    second.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    steps(second, optimiser, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), second.parameters(), strict=True))


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", nn.Linear(3, 2).state_dict())
    load_weights(tmp_path / "w.safetensors", nn.Linear(3, 2))
    with pytest.raises(BadData, match=r"w\.safetensors"):
        load_weights(tmp_path / "w.safetensors", nn.Linear(3, 4))
