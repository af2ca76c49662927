"""The convolutional autoencoder of system C: 224×224 → 14×14 codes and back."""

from __future__ import annotations

import itertools
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from secondread.core.errors import Absent, BadData
from secondread.core.files import write_with

STRIDE = 16


class Autoencoder(nn.Module):
    """Four 3×3 convolutions of stride 2 (32, 64, 128, `code_channels`) with BatchNorm and ReLU, and their mirror.

    With 256 code channels a 224×224 grey image becomes 14·14·256 = 50,176 values, exactly as many as it has pixels:
    what makes a classifier on the codes fast is the 14×14 grid. 256, 64, 32, 16 channels compress 1×, 4×, 8×, 16×.
    """

    def __init__(self, channels: int = 1, code_channels: int = 256) -> None:
        super().__init__()
        self.channels, self.code_channels = channels, code_channels
        widths = [channels, 32, 64, 128, code_channels]
        self.encoder = nn.Sequential(*(_down(a, b) for a, b in itertools.pairwise(widths)))
        self.decoder = nn.Sequential(
            *(_up(b, a, last=a == channels) for a, b in reversed(list(itertools.pairwise(widths))))
        )

    def encode(self, images: Tensor) -> Tensor:
        """Images 0..255 [B,C,H,W] → codes [B,code_channels,⌈H/16⌉,⌈W/16⌉]."""
        codes: Tensor = self.encoder(images.to(next(self.parameters()).dtype) / 255)
        return codes

    def decode(self, codes: Tensor) -> Tensor:
        """Codes → images in 0..1, sixteen times as high and wide."""
        images: Tensor = self.decoder(codes)
        return images

    def forward(self, images: Tensor) -> Tensor:
        """Images 0..255 → their reconstruction in 0..1, of the same height and width."""
        return self.decode(self.encode(images))[..., : images.shape[-2], : images.shape[-1]]

    def loss(self, images: Tensor) -> Tensor:
        """Mean squared error of the reconstruction, on images in 0..1."""
        wanted = images.to(next(self.parameters()).dtype) / 255
        return functional.mse_loss(self(images), wanted)

    def save(self, path: Path) -> None:
        """Write the weights as safetensors; their shapes tell the two channel numbers."""
        from safetensors.torch import save_file

        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        write_with(path, lambda temporary: save_file(tensors, temporary))

    @classmethod
    def load(cls, path: Path) -> Autoencoder:
        """The autoencoder that `save` wrote, in eval mode; raises `Absent` or `BadData` naming the file."""
        from safetensors.torch import load_file

        if not path.is_file():
            raise Absent(f"there is no autoencoder at {path}")
        try:
            tensors = load_file(path)
            loaded = cls(tensors["encoder.0.0.weight"].shape[1], tensors["encoder.3.0.weight"].shape[0])
            loaded.load_state_dict(tensors)
        except Exception as error:
            raise BadData(f"{path} is not an autoencoder that this program saved: {error}") from error
        return loaded.eval()


def _down(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _up(inputs: int, outputs: int, last: bool) -> nn.Sequential:
    """The mirror of `_down`; the last one ends in a sigmoid, because pixels lie in 0..1."""
    if last:
        return nn.Sequential(nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1), nn.Sigmoid())
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 3, 2, 1, output_padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
