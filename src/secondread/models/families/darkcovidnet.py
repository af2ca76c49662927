"""DarkCovidNet (Ozturk et al. 2020, table 2): seventeen convolutions after Darknet-19, made for Covid-19 radiographs.

Its 1×1 convolutions are padded by one pixel, as published: maps grow by two at each, and 256 pixels end in 13×13.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.initialisation import he_initialise
from secondread.models.spec import ModelSpec

WIDTHS = (32, 64, 128, 256)
"""Of the four triples."""

# layers


def dark_block(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Convolution padded by one, BatchNorm, leaky ReLU of slope 0.1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.LeakyReLU(0.1, True)
    )


def triple(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 up to `outputs`, 1×1 back to `inputs`, 3×3 up again; the maps grow by two."""
    return nn.Sequential(dark_block(inputs, outputs), dark_block(outputs, inputs, 1), dark_block(inputs, outputs))


# network


class DarkCovidNet(Backbone):
    """Two blocks and four triples with 2×2 max-pooling between them, two blocks more (CAM layer), then a convolution to
    one map a class, flattened, → head."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__(spec, spec.classes * _last_side(spec.size) ** 2, in_channels=spec.channels)
        triples = [triple(a, b) for a, b in zip((16, *WIDTHS), WIDTHS, strict=False)]
        self.blocks = nn.ModuleList([dark_block(spec.channels, 8), dark_block(8, 16), *triples])
        self.between = nn.MaxPool2d(2)
        self.last = nn.Sequential(dark_block(WIDTHS[-1], 128, 1), dark_block(128, WIDTHS[-1]))
        self.to_classes = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], spec.classes, 3, padding=1, bias=False), nn.ReLU(True), nn.BatchNorm2d(spec.classes)
        )
        self.card = DARKCOVIDNET
        he_initialise(self)

    def feature_maps(self, images: Tensor) -> Tensor:
        maps = images
        for number, block in enumerate(self.blocks):
            maps = block(maps if number == 0 else self.between(maps))
        last: Tensor = self.last(maps)
        return last

    def pooled(self, maps: Tensor) -> Tensor:
        features: Tensor = self.to_classes(maps).flatten(1)
        return features

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[block] for block in (*self.blocks, self.last, self.to_classes)]


# builder


def _last_side(size: int) -> int:
    side = size // 2 // 2
    for number in range(len(WIDTHS)):
        side = (side if number == 0 else side // 2) + 2
    return side + 2


# registered names

DARKCOVIDNET = add_card(
    ModelCard(
        "darkcovidnet", "own", "the sixteenth convolution after its leaky ReLU", "Apache-2.0", min_size=32,
        default_size=256,
        remarks="takes images of the size it was trained on only; its bundle draws no heatmaps: a convolution stands "
        "behind the CAM layer",
    )
)  # fmt: skip


@part("models", "darkcovidnet")
def darkcovidnet(spec: ModelSpec, /) -> Backbone:
    """Seventeen convolutions with leaky ReLU after Darknet-19; 1.16 million weights."""
    return DarkCovidNet(spec)
