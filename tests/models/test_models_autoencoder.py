from __future__ import annotations

from pathlib import Path

import pytest
import torch

from secondread.core.errors import Absent, BadData, WrongRequest
from secondread.core.spec import ref
from secondread.models.autoencoder import Autoencoder
from secondread.models.build import build_classifier
from secondread.models.spec import ModelSpec


def discs(count: int = 16, size: int = 32) -> torch.Tensor:
    """Bright discs of varied place and radius on a dark ground, uint8 [N,1,size,size]."""
    draw = torch.Generator().manual_seed(0)
    centre = torch.rand(count, 2, generator=draw) * size
    radius = torch.rand(count, generator=draw) * size / 3 + 3
    at = torch.arange(size)
    squared = (at[None, :, None] - centre[:, 0, None, None]) ** 2 + (at[None, None, :] - centre[:, 1, None, None]) ** 2
    return (40 + 180 * (squared < radius[:, None, None] ** 2)).to(torch.uint8)[:, None]


def test_a_224_image_becomes_codes_of_14_by_14() -> None:
    image = torch.zeros(1, 1, 224, 224, dtype=torch.uint8)
    model = Autoencoder(1, 256).eval()
    with torch.no_grad():
        codes = model.encode(image)
        back = model.decode(codes)
    assert codes.shape == (1, 256, 14, 14)
    assert codes[0].numel() == image[0].numel() == 50_176
    assert back.shape == image.shape


@pytest.mark.parametrize(("channels", "code_channels", "size"), [(1, 8, 32), (3, 64, 48), (1, 16, 50)])
def test_reconstructions_have_the_images_shape_and_lie_in_0_to_1(channels: int, code_channels: int, size: int) -> None:
    images = torch.full((2, channels, size, size), 200, dtype=torch.uint8)
    back = Autoencoder(channels, code_channels)(images).detach()
    assert back.shape == images.shape
    assert float(back.min()) >= 0
    assert float(back.max()) <= 1


def test_reconstruction_is_learned() -> None:
    torch.manual_seed(0)
    model, images = Autoencoder(1, 32), discs()
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = model.loss(images)
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    mean_image = (images / 255).mean(0, keepdim=True)
    assert losses[-1] < float(((images / 255 - mean_image) ** 2).mean()) / 2 < losses[0]


def test_the_same_weights_are_the_same_file(tmp_path: Path) -> None:
    model = Autoencoder(1, 4)
    for number in range(8):
        model.save(tmp_path / f"{number}.safetensors")
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_what_was_saved_is_read_back_bit_by_bit(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Autoencoder(1, 8)
    model(discs(4))
    model.save(tmp_path / "autoencoder.safetensors")
    again = Autoencoder.load(tmp_path / "autoencoder.safetensors")
    assert (again.channels, again.code_channels) == (1, 8)
    assert torch.equal(again.encode(discs(2)), model.eval().encode(discs(2)))


def test_a_file_that_is_no_autoencoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=r"a\.safetensors"):
        Autoencoder.load(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(BadData, match=r"a\.safetensors is not an autoencoder"):
        Autoencoder.load(tmp_path / "a.safetensors")


def test_a_classifier_on_codes_sees_what_the_autoencoder_encodes() -> None:
    torch.manual_seed(2)
    autoencoder = Autoencoder(1, 16)
    autoencoder(discs())
    autoencoder.eval()
    built = build_classifier(ref("coded_cnn", channels=16), ModelSpec(2, 1, 32), mean=[0.4], std=[0.3], seed=0)
    backbone = built.backbone
    backbone.take_encoder(autoencoder)  # type: ignore[operator]
    assert built.statistics == ((0.0,), (1.0,))
    codes = backbone.codes(built.normalise(discs()))  # type: ignore[operator]
    torch.testing.assert_close(codes, autoencoder.encode(discs()))
    maps = backbone.maps_from_codes(codes)  # type: ignore[operator]
    torch.testing.assert_close(built.eval().logits_from_maps(backbone.maps_from_codes(codes)), built(discs()))  # type: ignore[operator]
    assert maps.shape == (16, 128, 2, 2)


def test_the_encoder_never_trains_in_the_classifier() -> None:
    built = build_classifier(ref("coded_cnn", channels=8), ModelSpec(2, 1, 32), mean=[0.4], std=[0.3], seed=0)
    before = {name: tensor.clone() for name, tensor in built.backbone.encoder.state_dict().items()}  # type: ignore[union-attr]
    built.unfreeze()
    built.train()
    optimiser = torch.optim.SGD([p for p in built.parameters() if p.requires_grad], 0.1)
    built.train_logits(discs()).logits.square().sum().backward()
    optimiser.step()
    after = built.backbone.encoder.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_an_autoencoder_of_other_channels_is_refused() -> None:
    built = build_classifier(ref("coded_cnn", channels=8), ModelSpec(2, 1, 32), mean=[0.4], std=[0.3], seed=0)
    with pytest.raises(WrongRequest, match=r"\(1, 16\), coded_cnn needs \(1, 8\)"):
        built.backbone.take_encoder(Autoencoder(1, 16))  # type: ignore[operator]
