"""Losses as parts. Softmax losses serve binary and multi-class tasks, sigmoid losses binary and multi-label ones."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from secondread.core.errors import WrongRequest
from secondread.core.limits import BelowOne, NotNegative, Share
from secondread.core.registry import part
from secondread.train.loss_types import (
    Loss,
    LossSpec,
    SigmoidLoss,
    SoftmaxLoss,
    as_independent,
    masked_mean,
    normalised,
    on_device,
    positives,
    refuse_many_classes,
    shifted_prior,
)

Cap = Annotated[float, Field(ge=1.0)]
LEAST = 1e-12
"""Of what is raised to a power: at 0 a power below 1 has no slope."""


@part("losses", "cross_entropy")
def cross_entropy(spec: LossSpec, /) -> Loss:
    """Softmax cross-entropy, −Σ y log p: the default that everything else must beat."""
    return SoftmaxLoss(spec, lambda logits, labels: -(labels * logits.log_softmax(1)).sum(1), "cross_entropy")


@part("losses", "weighted_cross_entropy")
def weighted_cross_entropy(spec: LossSpec, /, *, power: NotNegative = 0.5, cap: Cap = 10.0) -> Loss:
    """Cross-entropy with class weights (N / K·n_c)^power, at most `cap`, of mean 1; power 1 is inverse frequency."""
    mean = sum(spec.counts) / len(spec.counts)
    weights = [min((mean / max(count, 1.0)) ** power, cap) for count in spec.counts]
    return _weighted(spec, weights, "weighted_cross_entropy")


@part("losses", "class_balanced")
def class_balanced(spec: LossSpec, /, *, beta: Share = 0.999, cap: Cap = 1000.0) -> Loss:
    """Cross-entropy with weights (1−β)/(1−β^n_c) by effective number (Cui et al. 2019), of mean 1."""
    effective = [(1 - beta) / (1 - beta ** max(count, 1.0)) for count in spec.counts]
    least = min(effective)
    return _weighted(spec, [min(weight / least, cap) for weight in effective], "class_balanced")


@part("losses", "focal")
def focal(spec: LossSpec, /, *, gamma: NotNegative = 2.0) -> Loss:
    """Softmax focal loss, −Σ y (1−p)^γ log p (Lin et al. 2017); γ = 0 is cross-entropy."""

    def term(logits: Tensor, labels: Tensor) -> Tensor:
        log_p = logits.log_softmax(1)
        return -(labels * _complement(log_p) ** gamma * log_p).sum(1)

    return SoftmaxLoss(spec, term, "focal")


@part("losses", "logit_adjusted")
def logit_adjusted(spec: LossSpec, /, *, tau: NotNegative = 1.0) -> Loss:
    """Cross-entropy on logits + τ log π (Menon et al. 2021): consistent for the balanced error."""
    prior = torch.tensor(spec.prior).clamp(min=1e-6)
    offset = on_device(tau * prior.log())
    left = prior ** (1 - tau)  # what the raw logits still hold of the prior
    implied = tuple((left / left.sum()).tolist())

    def term(logits: Tensor, labels: Tensor) -> Tensor:
        return -(labels * (logits + offset(logits.device)).log_softmax(1)).sum(1)

    return SoftmaxLoss(spec, term, "logit_adjusted", implied)


@part("losses", "bce")
def bce(spec: LossSpec, /) -> Loss:
    """Binary cross-entropy of each label, averaged over the labels that are known."""
    return SigmoidLoss(spec, _bce, "bce")


@part("losses", "weighted_bce")
def weighted_bce(spec: LossSpec, /, *, power: NotNegative = 0.5, cap: Cap = 10.0) -> Loss:
    """Binary cross-entropy with positives weighted (negatives/positives)^power, within 1/cap and cap."""
    counts = zip(*positives(spec), strict=True)
    weights = [min(max((max(no, 1.0) / max(yes, 1.0)) ** power, 1 / cap), cap) for yes, no in counts]
    weight = on_device(torch.tensor(weights))

    def term(logits: Tensor, labels: Tensor) -> Tensor:
        return functional.binary_cross_entropy_with_logits(
            logits, labels, pos_weight=weight(logits.device), reduction="none"
        )

    return SigmoidLoss(spec, term, "weighted_bce", shifted_prior(spec, weights))


@part("losses", "focal_bce")
def focal_bce(spec: LossSpec, /, *, gamma: NotNegative = 2.0, alpha: Share | None = None) -> Loss:
    """Sigmoid focal loss (Lin et al. 2017); α weights the positives and is off unless given (.25 would mute them)."""
    weight = (1.0, 1.0) if alpha is None else (alpha, 1 - alpha)

    def term(logits: Tensor, labels: Tensor) -> Tensor:
        yes, no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
        hard_yes, hard_no = _complement(yes) ** gamma, _complement(no) ** gamma
        return -(weight[0] * labels * hard_yes * yes + weight[1] * (1 - labels) * hard_no * no)

    labels = len(spec.counts) - (1 if spec.exclusive else 0)
    return SigmoidLoss(spec, term, "focal_bce", shifted_prior(spec, [weight[0] / weight[1]] * labels))


@part("losses", "asymmetric")
def asymmetric(
    spec: LossSpec, /, *, gamma_positive: NotNegative = 1.0, gamma_negative: NotNegative = 4.0, clip: BelowOne = 0.05
) -> Loss:
    """Asymmetric loss (Ridnik et al. 2021): easy negatives fade faster, those under `clip` count nothing."""

    def term(logits: Tensor, labels: Tensor) -> Tensor:
        p = logits.sigmoid()
        absent = (1 - p + clip).clamp(max=1.0)
        positive = functional.logsigmoid(logits) * (1 - p).clamp(min=LEAST) ** gamma_positive
        negative = absent.clamp(min=1e-8).log() * (1 - absent).clamp(min=LEAST) ** gamma_negative
        return -(labels * positive + (1 - labels) * negative)

    return SigmoidLoss(spec, term, "asymmetric")


@part("losses", "auc_margin")
def auc_margin(spec: LossSpec, /, *, margin: NotNegative = 1.0) -> Loss:
    """AUC margin loss (Yuan et al. 2021) at the optimum of its auxiliary variables over the batch; no probabilities."""
    return AucMargin(spec, margin)


class AucMargin(Loss):
    """Var(s⁺) + Var(s⁻) + max(0, m + E s⁻ − E s⁺)², s = σ(z), averaged over the labels that the batch has both of.

    It is min over a, b and max over α ≥ 0 of the paper's objective, solved in closed form. Soft labels are weights.
    """

    def __init__(self, spec: LossSpec, margin: float) -> None:
        refuse_many_classes(spec, "auc_margin")
        if spec.smoothing:
            raise WrongRequest("train.label_smoothing: auc_margin ranks images and smooths no label: set it to 0")
        super().__init__(spec.prior)
        self.margin, self.exclusive = margin, spec.exclusive

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        logits, labels, mask = as_independent(logits.float(), labels, mask, self.exclusive)
        scores = logits.sigmoid()
        yes, no = labels * mask, (1 - labels) * mask
        both = ((yes.sum(0) > 0) & (no.sum(0) > 0)).float()
        above, below = _mean(scores, yes), _mean(scores, no)
        spread = _mean((scores - above) ** 2, yes) + _mean((scores - below) ** 2, no)
        return masked_mean(spread + (self.margin + below - above).clamp(min=0) ** 2, both)


def _weighted(spec: LossSpec, weights: list[float], name: str) -> Loss:
    """Cross-entropy of which each row counts with the weight of its class; the weights shift the implied prior."""
    scaled = on_device(normalised(weights, spec))
    moved = [w * p for w, p in zip(weights, spec.prior, strict=True)]
    implied = tuple(share / sum(moved) for share in moved)

    def term(logits: Tensor, labels: Tensor) -> Tensor:
        return -(labels * scaled(logits.device) * logits.log_softmax(1)).sum(1)

    return SoftmaxLoss(spec, term, name, implied)


def _bce(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")


def _complement(log_p: Tensor) -> Tensor:
    """1 − p, exact for p near 1."""
    return (-torch.expm1(log_p)).clamp(min=LEAST)


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum(0) / weights.sum(0).clamp(min=1e-12)
