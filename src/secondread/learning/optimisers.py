"""Optimisers as parts. A parameter group may carry `lr_scale`, which multiplies the learning rate of that group."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from secondread.core.limits import BelowOne, NotNegative, Positive
from secondread.core.registry import part

Groups = Iterable[Any]
"""Parameters, or mappings with `params` and optionally `lr_scale` and `weight_decay`."""


@part("optimisers", "adamw")
def adamw(
    groups: Groups,
    /,
    *,
    lr: Positive = 1e-3,
    weight_decay: NotNegative = 1e-4,
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999),
    eps: Positive = 1e-8,
) -> torch.optim.Optimizer:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019), fused."""
    return torch.optim.AdamW(_scaled(groups, lr), lr=lr, weight_decay=weight_decay, betas=betas, eps=eps, fused=True)


@part("optimisers", "adam")
def adam(
    groups: Groups,
    /,
    *,
    lr: Positive = 1e-3,
    weight_decay: NotNegative = 0.0,
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999),
    eps: Positive = 1e-8,
) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015); weight decay is added to the gradient, as the published systems do. Fused."""
    return torch.optim.Adam(_scaled(groups, lr), lr=lr, weight_decay=weight_decay, betas=betas, eps=eps, fused=True)


@part("optimisers", "sgd")
def sgd(
    groups: Groups,
    /,
    *,
    lr: Positive = 0.01,
    momentum: BelowOne = 0.9,
    weight_decay: NotNegative = 0.0,
    nesterov: bool = True,
) -> torch.optim.Optimizer:
    """Stochastic gradient descent with (Nesterov) momentum, fused."""
    return torch.optim.SGD(
        _scaled(groups, lr),
        lr=lr,
        momentum=momentum,
        weight_decay=weight_decay,
        nesterov=nesterov and momentum > 0,
        fused=True,
    )


@part("optimisers", "rmsprop")
def rmsprop(
    groups: Groups,
    /,
    *,
    lr: Positive = 5e-5,
    alpha: BelowOne = 0.99,
    weight_decay: NotNegative = 0.0,
    momentum: BelowOne = 0.0,
) -> torch.optim.Optimizer:
    """RMSProp; without momentum it is the optimiser of the Wasserstein GAN with weight clipping."""
    return torch.optim.RMSprop(_scaled(groups, lr), lr=lr, alpha=alpha, weight_decay=weight_decay, momentum=momentum)


def _scaled(groups: Groups, lr: Positive) -> list[Any]:
    made: list[Any] = []
    for group in groups:
        if isinstance(group, dict):
            rest = {key: value for key, value in group.items() if key != "lr_scale"}
            made.append({**rest, "lr": lr * float(group.get("lr_scale", 1.0))})
        else:
            made.append(group)
    return made


def decayed_groups(named: Iterable[tuple[str, nn.Parameter]], lr_scale: float = 1.0) -> list[dict[str, Any]]:
    """Two groups of the parameters that learn: weights, and biases and norms that are not decayed."""
    learning = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    weights = [parameter for _, parameter in learning if parameter.ndim > 1]
    others = [parameter for _, parameter in learning if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = []
    if weights:
        groups.append({"params": weights, "lr_scale": lr_scale})
    if others:
        groups.append({"params": others, "lr_scale": lr_scale, "weight_decay": 0.0})
    return groups
