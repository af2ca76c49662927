"""Two small networks of our own: a plain CNN and its improved version, as system C compares them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn

from secondread.core.limits import BelowOne, Count
from secondread.core.registry import part
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.initialisation import he_initialise
from secondread.models.spec import ModelSpec

# layers


def plain_block(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 convolution and ReLU."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(inplace=True))


def improved_block(inputs: int, outputs: int) -> nn.Sequential:
    """Twice 3×3 convolution, BatchNorm and ReLU; biases would be undone by BatchNorm."""
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(True)]
    return nn.Sequential(*layers)


# network


class StackedCnn(Backbone):
    """Blocks with 2×2 max-pooling and channel dropout between them, global average pooling, linear head."""

    def __init__(self, spec: ModelSpec, blocks: Sequence[nn.Sequential], width: int, dropout: float) -> None:
        super().__init__(spec, width, in_channels=spec.channels, gap=True, dropout=dropout)
        self.blocks = nn.ModuleList(blocks)
        self.between = nn.Sequential(nn.MaxPool2d(2), nn.Dropout2d(dropout / 2))
        he_initialise(self.blocks)

    def feature_maps(self, images: Tensor) -> Tensor:
        maps = images
        for number, block in enumerate(self.blocks):
            maps = block(maps if number == 0 else self.between(maps))
        return maps

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[block] for block in self.blocks]


# builder


def _widths(spec: ModelSpec, width: int) -> list[int]:
    return [spec.channels, width, 2 * width, 4 * width, 8 * width]


# registered names

PLAIN = add_card(
    ModelCard(
        "plain_cnn", "own", "the fourth convolution after its ReLU", "Apache-2.0", min_size=16, default_size=64
    )
)  # fmt: skip
IMPROVED = add_card(
    ModelCard(
        "improved_cnn", "own", "the eighth convolution after BatchNorm and ReLU", "Apache-2.0", min_size=16,
        default_size=64,
    )
)  # fmt: skip


@part("models", "plain_cnn")
def plain_cnn(spec: ModelSpec, /, *, width: Count = 32) -> Backbone:
    """Four 3×3 convolutions with ReLU and max-pooling, global average pooling, linear head."""
    widths = _widths(spec, width)
    blocks = [plain_block(a, b) for a, b in itertools.pairwise(widths)]
    network = StackedCnn(spec, blocks, widths[-1], dropout=0.0)
    network.card = PLAIN
    return network


@part("models", "improved_cnn")
def improved_cnn(spec: ModelSpec, /, *, width: Count = 32, dropout: BelowOne = 0.3) -> Backbone:
    """Four blocks of two convolutions with BatchNorm, dropout before pools and head; made for weight decay."""
    widths = _widths(spec, width)
    blocks = [improved_block(a, b) for a, b in itertools.pairwise(widths)]
    network = StackedCnn(spec, blocks, widths[-1], dropout=dropout)
    network.card = IMPROVED
    return network
