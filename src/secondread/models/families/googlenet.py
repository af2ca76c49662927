"""GoogLeNet (Szegedy 2014) with BatchNorm, torchvision's network, with or without its auxiliary classifiers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.spec import ModelSpec

# network

TO_AUX1 = ("conv1", "maxpool1", "conv2", "conv3", "maxpool2", "inception3a", "inception3b", "maxpool3", "inception4a")
TO_AUX2 = ("inception4b", "inception4c", "inception4d")
TO_END = ("inception4e", "maxpool4", "inception5a", "inception5b")


class GoogLeNet(Backbone):
    """The published weights expect images normalised to ±1, which torchvision reaches by re-mapping ImageNet-normalised
    colours (`transform_input`); here the card's mean and std of 0.5 say the same without it, for grey images too."""

    head_key = "fc"
    untrained_keys = ("aux1.", "aux2.")  # the published auxiliary classifiers were never trained

    def __init__(self, spec: ModelSpec, net: Any, card: ModelCard) -> None:
        super().__init__(spec, net.fc.in_features, gap=True, dropout=0.2)
        del net.fc
        self.net: Any = net
        self.card = card

    def feature_maps(self, images: Tensor) -> Tensor:
        return self._through(images, (*TO_AUX1, *TO_AUX2, *TO_END))

    def maps_and_aux(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        if self.net.aux1 is None:
            return self.feature_maps(images), ()
        at_4a = self._through(images, TO_AUX1)
        at_4d = self._through(at_4a, TO_AUX2)
        return self._through(at_4d, TO_END), (self.net.aux1(at_4a), self.net.aux2(at_4d))

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        net = self.net
        cuts = [["conv1"], ["conv2", "conv3"], ["inception3a", "inception3b"], ["inception4a"], [*TO_AUX2], [*TO_END]]
        groups = [[getattr(net, name) for name in names] for names in cuts]
        aux = [module for module in (net.aux1, net.aux2) if module is not None]
        return [*groups, aux] if aux else groups

    def _through(self, maps: Tensor, names: Sequence[str]) -> Tensor:
        for name in names:
            maps = getattr(self.net, name)(maps)
        return maps


# registered names

GOOGLENET = add_card(
    ModelCard(
        "googlenet", "googlenet", "inception5b, the last block after its ReLUs", "BSD-3-Clause (torchvision)",
        weights="torchvision:GoogLeNet_Weights.IMAGENET1K_V1",
        licence_weights="BSD-3-Clause (torchvision), converted from TensorFlow, trained on ImageNet-1k",
        mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
        remarks="the 5×5 branch is a 3×3 convolution, as in the published weights",
    )
)  # fmt: skip


@part("models", "googlenet")
def googlenet(spec: ModelSpec, /, *, aux: bool = False) -> Backbone:
    """GoogLeNet of torchvision; `aux` adds the two auxiliary classifiers, whose losses count 0.3 each."""
    import torchvision

    net = torchvision.models.GoogLeNet(
        num_classes=spec.classes, aux_logits=aux, transform_input=False, init_weights=True
    )
    return GoogLeNet(spec, net, GOOGLENET)
