"""Class activation maps by gradients, for every model and every label.

Each takes the CAM layer's maps A [N,C,h,w] and the gradient G of one logit with respect to them (for exclusive classes
too the logit of the class itself, never the probability), and gives maps [N,h,w] after a ReLU, not scaled: an empty map
stays empty and maps of one image can be compared. Tested against the package `grad-cam`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from secondread.models.classifier import Classifier

Method = Literal["grad_cam", "grad_cam_pp", "layer_cam", "hires_cam"]
NAMES: dict[Method, str] = {
    "grad_cam": "Grad-CAM", "grad_cam_pp": "Grad-CAM++", "layer_cam": "LayerCAM", "hires_cam": "HiResCAM",
}  # fmt: skip
EMPTY = 1e-7
"""A map whose maximum is at most this share of the largest map value seen shows no positive evidence."""
SMALL = 1e-6
"""Keeps the shares of Grad-CAM++ finite; the value of the package `grad-cam`."""


def grad_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """Selvaraju 2017, eq. 1 and 2: channels weighed with their mean gradient."""
    return torch.relu((gradients.mean((2, 3), keepdim=True) * maps).sum(1))


def grad_cam_pp(maps: Tensor, gradients: Tensor) -> Tensor:
    """Grad-CAM++ (Chattopadhay 2018), eq. 19 with higher derivatives as powers of the gradient."""
    squared, cubed = gradients**2, gradients**3
    shares = squared / (2 * squared + maps.sum((2, 3), keepdim=True) * cubed + SMALL)
    shares = torch.where(gradients != 0, shares, 0.0)
    weights = (torch.relu(gradients) * shares).sum((2, 3), keepdim=True)
    return torch.relu((weights * maps).sum(1))


def layer_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """LayerCAM (Jiang 2021), eq. 6: each place weighed with its own positive gradient."""
    return torch.relu((torch.relu(gradients) * maps).sum(1))


def hires_cam(maps: Tensor, gradients: Tensor) -> Tensor:
    """HiResCAM (Draelos 2020): each place weighed with its own gradient; faithful where the head is not linear."""
    return torch.relu((gradients * maps).sum(1))


METHODS: dict[Method, Callable[[Tensor, Tensor], Tensor]] = {
    "grad_cam": grad_cam, "grad_cam_pp": grad_cam_pp, "layer_cam": layer_cam, "hires_cam": hires_cam,
}  # fmt: skip


def explain(classifier: Classifier, images: Tensor, methods: tuple[Method, ...]) -> dict[Method, Tensor]:
    """Maps [N,K,h,w] of every label by each method, for images uint8 [N,C,H,W]. The classifier must be in eval mode."""
    with torch.no_grad():
        maps = classifier.feature_maps(images)
    gradients = logit_gradients(classifier, maps)
    return {name: torch.stack([METHODS[name](maps, one) for one in gradients], 1) for name in methods}


def logit_gradients(classifier: Classifier, maps: Tensor) -> list[Tensor]:
    """The gradient [N,C,h,w] of each of the K logits with respect to the maps."""
    with torch.enable_grad():
        leaf = maps.detach().clone().requires_grad_()
        logits = classifier.logits_from_maps(leaf)
        return [torch.autograd.grad(one.sum(), leaf, retain_graph=True)[0] for one in logits.unbind(1)]


def random_cam(maps: Tensor, seed: int) -> Tensor:
    """Maps [N,h,w] under weights drawn from −1 to 1: what the network's layout alone would show."""
    drawn = torch.rand(maps.shape[:2], generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return torch.relu((drawn[:, :, None, None] * maps).sum(1))
