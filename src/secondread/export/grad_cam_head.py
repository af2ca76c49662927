"""Grad-CAM as ordinary operations that export: the gradient of every logit, written into the graph.

Grad-CAM (Selvaraju 2017, eq. 1) needs only the spatial mean of a logit's gradient at the CAM layer. Average pooling
whose weights sum to one, flattening and max-pooling all hand the whole gradient of an output on to their inputs, so its
sum over the inputs is its sum over the outputs and the pooling drops out. What is left are the linear layers and ReLUs
behind it, transposed. This is exact for every head that is a chain of those: global pooling and one linear layer
(where it is the class activation map of Zhou 2016 over h·w) as well as the dense layers of VGG and AlexNet.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secondread.models.classifier import Classifier

POOLING = ("aten.adaptive_avg_pool2d.default", "aten.adaptive_max_pool2d.default", "aten.max_pool2d.default",
           "aten.mean.dim", "aten.amax.default", "aten.matmul.default")  # fmt: skip
SHAPE = ("aten.flatten.using_ints", "aten.view.default", "aten.reshape.default", "aten.squeeze.dims",
         "aten.permute.default", "aten.transpose.int")  # fmt: skip
NOTHING = ("aten.dropout.default", "aten.dropout_.default", "aten.feature_dropout.default", "aten.clone.default",
           "aten.contiguous.default", "aten.to.dtype")  # fmt: skip
RELU = ("aten.relu.default", "aten.relu_.default")
EXACT = 1e-4
"""Largest difference from autograd, as a share of the largest gradient."""


class NoExactMap(Exception):
    """The head is no chain of pooling, linear layers and ReLUs; the message names what stands in the way."""


@dataclass(frozen=True)
class Link:
    """One linear layer of the head and whether a ReLU follows it."""

    layer: nn.Linear
    rectified: bool


class GradCamHead(nn.Module):
    """Maps [N,C,h,w] → features [N,F], logits [N,K] and Grad-CAM maps [N,K,h,w], not scaled.

    Raises `NoExactMap` when the classifier's head is no such chain. `shape` is that of one image's maps: (C, h, w).
    """

    summed: Tensor

    def __init__(self, classifier: Classifier, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.classifier = classifier
        self.links = head_chain(classifier, shape)
        first = self.links[0].layer.weight.detach()
        self.register_buffer("summed", first.view(first.shape[0], shape[0], -1).sum(2))
        self._compare_with_autograd(shape)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        values: dict[int, Tensor] = {}
        hooks = [
            link.layer.register_forward_hook(lambda _, __, value, at=at: values.update({at: value > 0}))
            for at, link in enumerate(self.links)
            if link.rectified
        ]
        features = self.classifier.features_from_maps(maps)
        logits = self.classifier.logits_from_features(features)
        for hook in hooks:
            hook.remove()
        return features, logits, grad_cam(maps, self._gradient(values))

    @torch.enable_grad()  # type: ignore[untyped-decorator]
    def _compare_with_autograd(self, shape: tuple[int, int, int]) -> None:
        """Two random maps must give the maps of autograd: what the chain assumes of pooling holds here, or none is."""
        maps = torch.rand((2, *shape), generator=torch.Generator().manual_seed(0)).requires_grad_()
        _, logits, made = self(maps)
        gradients = [torch.autograd.grad(one.sum(), maps, retain_graph=True)[0] for one in logits.unbind(1)]
        wanted = grad_cam(maps, torch.stack([gradient.sum((2, 3)) for gradient in gradients], 1))
        if float((made - wanted).detach().abs().max()) > EXACT * max(float(wanted.detach().abs().max()), 1e-12):
            raise NoExactMap("pooling between the CAM layer and the logits is of another kind")

    def _gradient(self, opened: dict[int, Tensor]) -> Tensor:
        """[N or 1,K,C]: each logit's gradient summed over positions; `opened`: where each ReLU let values through."""
        gradient: Tensor | None = None
        for at in range(len(self.links) - 1, 0, -1):
            weight = self.links[at].layer.weight
            gradient = weight[None] if gradient is None else gradient @ weight
            if at - 1 in opened:
                gradient = gradient * opened[at - 1].to(gradient.dtype)[:, None]
        return self.summed[None] if gradient is None else gradient @ self.summed


def grad_cam(maps: Tensor, gradient_sum: Tensor) -> Tensor:
    """ReLU of the maps [N,C,h,w] weighed with the mean gradient [N or 1,K,C] → [N,K,h,w]."""
    _, _, height, width = maps.shape
    weighed = (gradient_sum / (height * width)) @ maps.flatten(2)
    return torch.relu(weighed).reshape(*weighed.shape[:2], height, width)


class _FromMaps(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, maps: Tensor) -> Tensor:
        return self.classifier.logits_from_maps(maps)


@torch.no_grad()
def head_chain(classifier: Classifier, shape: tuple[int, int, int]) -> list[Link]:
    """The head's linear layers from the CAM layer on; raises `NoExactMap` when anything else stands there."""
    traced = torch.export.export(_FromMaps(classifier).eval(), (torch.zeros(1, *shape),))
    owners = traced.graph_signature.inputs_to_parameters
    (taken,) = traced.graph_signature.user_inputs
    links: list[Link] = []
    last: Any = next(node for node in traced.graph.nodes if node.name == taken)
    constants = {node for node in traced.graph.nodes if node.op == "placeholder" and node is not last}
    for node in traced.graph.nodes:
        given = set(node.all_input_nodes)
        if node.op != "call_function" or given <= constants:
            constants |= {node} if node.op == "call_function" else set()
            continue
        name = str(node.target)
        if given - constants != {last}:
            raise NoExactMap(f"{name} in the head is not in a chain")
        last = node
        if name == "aten.linear.default":
            links.append(Link(_owner(classifier, owners, node.args[1]), rectified=False))
        elif name in RELU and links:
            links[-1] = Link(links[-1].layer, rectified=True)
        elif name not in (*NOTHING, *SHAPE) and (name not in POOLING or links):
            raise NoExactMap(f"{name} stands between the CAM layer and the logits")
    if not links or links[-1].rectified:
        raise NoExactMap("the head does not end in a linear layer")
    if links[0].layer.in_features % shape[0]:
        raise NoExactMap(f"the first linear layer takes {links[0].layer.in_features} values of {shape[0]} maps")
    return links


def _owner(classifier: Classifier, owners: dict[str, str], weight: Any) -> nn.Linear:
    path = owners.get(weight.name, "").removeprefix("classifier.").rpartition(".")[0]
    layer = classifier.get_submodule(path) if path else None
    if not isinstance(layer, nn.Linear):
        raise NoExactMap("a linear layer of the head has weights of its own kind")
    return layer
