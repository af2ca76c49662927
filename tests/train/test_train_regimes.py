"""Regimes share the steps out, and layers learn the slower the deeper they lie."""

from __future__ import annotations

import pytest
import torch

from secondread.core.registry import parts, resolve
from secondread.core.spec import ref
from secondread.learning.optimisers import adamw
from secondread.models.build import build_classifier
from secondread.models.spec import ModelSpec
from secondread.train.phases import layer_groups
from secondread.train.regimes import Regime

NAMES = list(parts("regimes"))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_the_phases_share_all_steps(name: str, steps: int) -> None:
    regime: Regime = resolve("regimes", ref(name))()
    phases = list(regime.phases(steps))
    assert sum(phase.steps for phase in phases) == steps
    assert all(phase.steps > 0 for phase in phases)
    assert [phase.head_only for phase in phases] == sorted((phase.head_only for phase in phases), reverse=True)


def test_head_then_full_takes_its_share() -> None:
    regime: Regime = resolve("regimes", ref("head_then_full", head=0.3))()
    assert [(phase.name, phase.steps) for phase in regime.phases(10)] == [("head", 3), ("full", 7)]


def test_layers_learn_the_slower_the_deeper_they_lie() -> None:
    classifier = build_classifier(ref("resnet18"), ModelSpec(2, 1, 32), mean=(0.5,), std=(0.2,), seed=0)
    groups = layer_groups(classifier, 0.5, head_only=False)
    scales = [group["lr_scale"] for group in groups]
    depth = len(classifier.backbone.layer_groups())
    assert scales[0] == 1.0
    assert scales == sorted(scales, reverse=True)
    assert scales[-1] == 0.5 ** (depth - 1)
    assert sum(len(group["params"]) for group in groups) == len(list(classifier.parameters()))
    optimiser = adamw(groups, lr=0.1)
    assert {group["lr"] for group in optimiser.param_groups} == {0.1 * 0.5**k for k in range(depth)}


def test_a_head_alone_has_only_its_own_parameters() -> None:
    classifier = build_classifier(ref("plain_cnn"), ModelSpec(2, 1, 32), mean=(0.5,), std=(0.2,), seed=0)
    classifier.freeze()
    groups = layer_groups(classifier, 1.0, head_only=True)
    mine = {id(parameter) for group in groups for parameter in group["params"]}
    assert mine == {id(parameter) for parameter in classifier.backbone.dense.parameters()}
    assert all(parameter.requires_grad for group in groups for parameter in group["params"])
    assert torch.is_tensor(groups[0]["params"][0])
