"""What a loss is given and what it says about itself."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from secondread.core.errors import WrongRequest
from secondread.core.tables import Task

Prior = tuple[float, ...]
Term = Callable[[Tensor, Tensor], Tensor]
"""Logits and labels of equal shape → the loss of each entry (sigmoid) or of each row (softmax)."""


@dataclass(frozen=True)
class LossSpec:
    """The study's side of a loss, counted over one pass of the plan."""

    task: Task
    counts: tuple[float, ...]
    """Rows of each class."""
    known: tuple[float, ...]
    """Rows that say of each class whether it is there."""
    smoothing: float = 0.0

    @property
    def prior(self) -> Prior:
        """Share of each class in the plan; 0.5 for a label that no row tells."""
        pairs = zip(self.counts, self.known, strict=True)
        return tuple(count / known if known else 0.5 for count, known in pairs)

    @property
    def exclusive(self) -> bool:
        return self.task != "multilabel"


class Loss(nn.Module):
    """`loss(logits_BK, labels_BK, mask_BK)` → a scalar: the mean over what the mask (1 or 0) leaves in.

    Labels may lie between 0 and 1. `prior` is the share of each class that logits trained with this loss assume; an
    operating point corrects it to the natural one.
    """

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        raise TypeError("a loss is SoftmaxLoss, SigmoidLoss or a module of its own")


class SoftmaxLoss(Loss):
    """Exclusive classes: `term(logits_BK, labels_BK)` gives the loss of each row [B]."""

    def __init__(self, spec: LossSpec, term: Term, name: str, prior: Prior | None = None) -> None:
        if not spec.exclusive:
            raise WrongRequest(
                f"train.loss: {name} needs exclusive classes; for several labels per image use bce, weighted_bce, "
                "focal_bce, asymmetric or auc_margin"
            )
        super().__init__(prior or spec.prior)
        self.term, self.smoothing = term, spec.smoothing

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        labels = labels * (1 - self.smoothing) + self.smoothing / labels.shape[1]
        return masked_mean(self.term(logits.float(), labels), mask.amin(dim=1))


class SigmoidLoss(Loss):
    """Independent labels, or two exclusive classes, whose logits' difference then is the one logit.

    `term(logits, labels)` gives the loss of each entry.
    """

    def __init__(self, spec: LossSpec, term: Term, name: str, prior: Prior | None = None) -> None:
        refuse_many_classes(spec, name)
        super().__init__(prior or spec.prior)
        self.term, self.smoothing, self.exclusive = term, spec.smoothing, spec.exclusive

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        logits, labels, mask = as_independent(logits.float(), labels, mask, self.exclusive)
        labels = labels * (1 - self.smoothing) + self.smoothing / 2
        return masked_mean(self.term(logits, labels), mask)


def as_independent(logits: Tensor, labels: Tensor, mask: Tensor, exclusive: bool) -> tuple[Tensor, Tensor, Tensor]:
    """[B,2] of two exclusive classes as [B,1] of the positive one: softmax(z)₁ = σ(z₁ − z₀)."""
    if not exclusive:
        return logits, labels, mask
    return logits[:, 1:] - logits[:, :1], labels[:, 1:], mask.amin(dim=1, keepdim=True)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean where the mask is 1; 0, with gradients of 0, where it is 1 nowhere."""
    return (values * mask).sum() / mask.sum().clamp(min=1.0)


def positives(spec: LossSpec) -> tuple[list[float], list[float]]:
    """Counts of positives and negatives of each independent label (one for two exclusive classes)."""
    first = 1 if spec.exclusive else 0
    counts = list(spec.counts[first:])
    return counts, [known - count for known, count in zip(spec.known[first:], counts, strict=True)]


def shifted_prior(spec: LossSpec, odds: Sequence[float]) -> Prior:
    """The plan's prior with the odds of each independent label multiplied."""
    prior = spec.prior[1:] if spec.exclusive else spec.prior
    moved = tuple(w * p / (w * p + 1 - p) if p < 1 else 1.0 for w, p in zip(odds, prior, strict=True))
    return (1 - moved[0], moved[0]) if spec.exclusive else moved


def normalised(weights: Sequence[float], spec: LossSpec) -> Tensor:
    """Class weights scaled so that their mean over the rows is 1: the learning rate keeps its meaning."""
    mean = sum(w * p for w, p in zip(weights, spec.prior, strict=True))
    return torch.tensor(weights, dtype=torch.float32) / max(mean, 1e-12)


def on_device(values: Tensor) -> Callable[[torch.device], Tensor]:
    """`values` on the device that is named, brought there once: a copy per step would stall a GPU."""
    return functools.cache(values.to)


def refuse_many_classes(spec: LossSpec, name: str) -> None:
    if spec.task == "multiclass":
        raise WrongRequest(
            f"train.loss: {name} takes each label by itself; for {len(spec.counts)} exclusive classes use "
            "cross_entropy, weighted_cross_entropy, focal, class_balanced or logit_adjusted"
        )
