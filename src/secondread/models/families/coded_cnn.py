"""A small CNN on the codes of an autoencoder that was trained before it, as system C has it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from secondread.core.errors import WrongRequest
from secondread.core.limits import Count
from secondread.core.registry import part
from secondread.models.autoencoder import STRIDE, Autoencoder
from secondread.models.backbone import Backbone
from secondread.models.card import ModelCard, add_card
from secondread.models.initialisation import he_initialise
from secondread.models.spec import ModelSpec

# layers


def code_block(inputs: int, outputs: int) -> nn.Sequential:
    """3×3 convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


# network


class CodedCnn(Backbone):
    """Encoder (never trained here) → codes → two convolutions → (CAM layer) global average pooling → head.

    The codes of an image never change: compute them once with `codes` and train on `maps_from_codes`.
    """

    never_trained = ("encoder",)
    fixed_statistics = ((0.0,), (1.0,))  # the autoencoder was trained on images in 0..1

    def __init__(self, spec: ModelSpec, code_channels: int, width: int, encoder_epochs: int) -> None:
        super().__init__(spec, 2 * width, in_channels=spec.channels, gap=True)
        self.encoder = Autoencoder(spec.channels, code_channels).encoder
        self.cnn = nn.Sequential(code_block(code_channels, width), code_block(width, 2 * width))
        self.code_channels, self.encoder_epochs = code_channels, encoder_epochs
        self.card = CODED_CNN
        he_initialise(self.cnn)
        self.unfreeze()

    def take_encoder(self, autoencoder: Autoencoder) -> None:
        """Copy the encoder of a trained autoencoder; raises `WrongRequest` when the channels differ."""
        have, want = (autoencoder.channels, autoencoder.code_channels), (self.in_channels, self.code_channels)
        if have != want:
            raise WrongRequest(f"the autoencoder has (image, code) channels {have}, coded_cnn needs {want}")
        self.encoder.load_state_dict(autoencoder.encoder.state_dict())

    def codes(self, images: Tensor) -> Tensor:
        """Normalised images → codes [B,code_channels,H/16,W/16]."""
        codes: Tensor = self.encoder(images)
        return codes

    def maps_from_codes(self, codes: Tensor) -> Tensor:
        maps: Tensor = self.cnn(codes)
        return maps

    def feature_maps(self, images: Tensor) -> Tensor:
        return self.maps_from_codes(self.codes(images))

    def pooled(self, maps: Tensor) -> Tensor:
        return maps.mean((2, 3))

    def stages(self) -> Sequence[Sequence[nn.Module]]:
        return [[block] for block in self.cnn]


# registered names

CODED_CNN = add_card(
    ModelCard(
        "coded_cnn", "own", "the second convolution on the codes after its ReLU", "Apache-2.0", min_size=2 * STRIDE,
        remarks="the autoencoder is trained first, on the training rows of the fold",
    )
)  # fmt: skip


@part("models", "coded_cnn")
def coded_cnn(spec: ModelSpec, /, *, channels: Count = 256, width: Count = 64, encoder_epochs: Count = 10) -> Backbone:
    """Two convolutions on autoencoder codes: `channels` of them, from an encoder trained `encoder_epochs` before."""
    return CodedCnn(spec, channels, width, encoder_epochs)
