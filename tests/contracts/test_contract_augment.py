"""Every registered augmentation keeps shapes, range and mean brightness, draws per image, and repeats for a seed."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from secondread.core.errors import WrongRequest
from secondread.core.registry import find, parts, resolve
from secondread.core.spec import PartRef, ref
from secondread.images import augment
from secondread.images.augment import Augment

NAMES = [name for name in parts("augment") if name != "none"]
MIXING = ("mixup", "cutmix")


def chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_images(count: int, channels: int, side: int = 32) -> Tensor:
    coarse = torch.rand(count, 1, 5, 5, generator=chance(3)) * 150 + 50
    images = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=True)
    return images.expand(-1, channels, -1, -1).contiguous()


def one_hot(count: int) -> Tensor:
    return torch.eye(3)[torch.arange(count) % 3]


def built(name: str) -> Augment:
    made: Augment = resolve("augment", ref(name))()
    return made


def test_none_is_nothing() -> None:
    assert resolve("augment", ref("none"))() is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_range_and_grey_are_kept(name: str, channels: int) -> None:
    images, labels = smooth_images(6, channels), one_hot(6)
    before = images.clone()
    changed, mixed = built(name)(images, labels, chance())
    assert changed.shape == images.shape
    assert changed.dtype == torch.float32
    assert mixed.shape == labels.shape
    assert torch.equal(images, before)
    assert changed.min() >= 0
    assert changed.max() <= 255
    torch.testing.assert_close(changed, changed[:, :1].expand_as(changed))
    assert not torch.equal(changed, images)


def windowed_by(reach: float) -> Augment:
    """The augmentation of which all else is left out."""
    still = dict.fromkeys(("rotation", "shift", "zoom", "aspect", "gamma", "sharpness", "noise"), 0.0)
    made: Augment = resolve("augment", ref("acquisition", window=reach, **still))()
    return made


def test_the_widest_window_turns_no_image_into_its_negative() -> None:
    with pytest.raises(WrongRequest, match="window"):
        windowed_by(0.5)
    ramps = torch.linspace(0, 255, 32).expand(500, 1, 32, 32).contiguous()
    changed = windowed_by(0.49)(ramps, one_hot(500), chance())[0]
    assert (changed.diff(dim=-1) >= 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_images(name: str) -> None:
    images, labels = smooth_images(5, 1), one_hot(5)
    first, again, other = (built(name)(images, labels, chance(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", NAMES)
def test_each_image_is_changed_by_its_own_draw(name: str) -> None:
    images = smooth_images(1, 1).expand(8, -1, -1, -1).contiguous()
    if name in MIXING:  # another image must be there to be mixed in
        images = images * torch.linspace(0.2, 1, 8)[:, None, None, None]
    changed, _ = built(name)(images, one_hot(8), chance())
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_mean_brightness_stays(name: str, channels: int) -> None:
    images, labels = smooth_images(256, channels), one_hot(256)
    changed, _ = built(name)(images, labels, chance())
    assert changed.mean().item() == pytest.approx(images.mean().item(), rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_labels_move_only_where_images_are_mixed(name: str) -> None:
    labels = one_hot(9)
    _, after = built(name)(smooth_images(9, 1), labels, chance())
    torch.testing.assert_close(after.sum(dim=1), torch.ones(9))
    assert torch.equal(after, labels) == (name not in MIXING)


@pytest.mark.parametrize("name", MIXING)
def test_what_is_not_said_of_either_image_is_not_said_of_both(name: str) -> None:
    labels = torch.tensor([[1.0, 0.0], [float("nan"), 1.0]]).repeat(4, 1)
    _, after = built(name)(smooth_images(8, 1), labels, chance())
    assert after[:, 0].isnan()[1::2].all()
    assert not after[:, 1].isnan().any()


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_summary(name: str) -> None:
    assert find("augment", name).summary.endswith(".")


def test_flips_alone_are_exact_and_each_is_an_image_or_its_mirror() -> None:
    images = torch.rand(32, 1, 9, 7, generator=chance()) * 255
    flips = resolve("augment", ref("traditional", rotation=0.0))()
    changed, _ = flips(images, one_hot(32), chance(4))
    kinds = [
        [torch.equal(new, old.flip(axes)) for axes in ([], [1], [2], [1, 2])]
        for new, old in zip(changed, images, strict=True)
    ]
    assert all(sum(kind) == 1 for kind in kinds)
    assert all(any(kind[k] for kind in kinds) for k in range(4))


@pytest.mark.parametrize(("flip", "axes"), [("none", [[]]), ("horizontal", [[], [2]]), ("vertical", [[], [1]])])
def test_strong_of_nothing_but_flips_is_each_image_or_its_mirror(flip: str, axes: list[list[int]]) -> None:
    images = torch.rand(24, 1, 9, 7, generator=chance()) * 255
    nothing = dict.fromkeys(("rotation", "shift", "zoom", "brightness", "contrast", "noise", "blur", "cutout"), 0.0)
    changed, _ = resolve("augment", ref("strong", flip=flip, **nothing))()(images, one_hot(24), chance(4))
    pairs = list(zip(changed, images, strict=True))
    found = [[torch.allclose(new, old.flip(a), atol=1e-3) for a in axes] for new, old in pairs]
    assert all(any(kind) for kind in found)
    assert all(any(kind[k] for kind in found) for k in range(len(axes)))


def test_an_affine_of_nothing_is_the_image_itself() -> None:
    images = smooth_images(4, 1)
    still = resolve("augment", ref("affine", shift=0, zoom=1e-9, rotation=0))()
    torch.testing.assert_close(still(images, one_hot(4), chance())[0], images, rtol=1e-4, atol=1e-2)


def test_cutmix_labels_are_the_areas() -> None:
    images = torch.tensor([0.0, 255.0])[:, None, None, None].expand(-1, 1, 20, 20).contiguous()
    changed, labels = built("cutmix")(images, torch.eye(2), chance(8))
    white = (changed == 255).float().mean(dim=(1, 2, 3))
    torch.testing.assert_close(labels[:, 1], white)


def still(**changed: float) -> Augment:
    """`acquisition` that changes nothing but what is asked for."""
    options = dict.fromkeys(("rotation", "shift", "zoom", "aspect", "gamma", "window", "sharpness", "noise"), 0.0)
    made: Augment = resolve("augment", ref("acquisition", **options | changed))()
    return made


def test_acquisition_of_nothing_is_the_image_itself() -> None:
    images = smooth_images(4, 1)
    torch.testing.assert_close(still()(images, one_hot(4), chance())[0], images, rtol=1e-4, atol=1e-2)


def test_exposure_bends_grey_values_both_ways_and_keeps_black_and_white() -> None:
    ramp = torch.linspace(0, 255, 64).expand(16, 1, 8, -1).contiguous()
    changed, _ = still(gamma=0.5)(ramp, one_hot(16), chance())
    assert (changed.diff(dim=-1) > 0).all()
    torch.testing.assert_close(changed[..., [0, -1]], ramp[..., [0, -1]])
    brighter = changed.mean(dim=(1, 2, 3)) > ramp.mean()
    assert 4 <= int(brighter.sum()) <= 12
    middle = torch.log(changed[:, 0, 0, 32] / 255) / torch.log(ramp[:, 0, 0, 32] / 255)  # the power itself
    assert middle.min() >= 1 / 1.5 - 1e-4
    assert middle.max() <= 1.5 + 1e-4


def test_the_window_is_a_straight_line_of_each_image() -> None:
    images = smooth_images(16, 1)
    changed, _ = still(window=0.15)(images, one_hot(16), chance())
    for new, old in zip(changed.flatten(1), images.flatten(1), strict=True):
        inside = (new > 0) & (new < 255)
        assert torch.corrcoef(torch.stack([new[inside], old[inside]]))[0, 1] > 0.9999
    assert changed.std(dim=(1, 2, 3)).div(images.std(dim=(1, 2, 3))).sub(1).abs().max() > 0.05


def test_sharpness_goes_both_ways_and_leaves_flat_images_alone() -> None:
    edges = (torch.arange(32) // 4 % 2 * 100.0 + 80).expand(16, 1, 32, -1).contiguous()
    changed, _ = still(sharpness=0.6)(edges, one_hot(16), chance())
    spread = changed.std(dim=(1, 2, 3)) / edges.std(dim=(1, 2, 3))
    assert spread.min() < 0.95
    assert spread.max() > 1.05
    flat = torch.full((4, 1, 16, 16), 90.0)
    torch.testing.assert_close(still(sharpness=0.6)(flat, one_hot(4), chance())[0], flat)


def test_aspect_changes_width_against_height() -> None:
    """A disc becomes an ellipse; the area that it covers stays."""
    place = torch.linspace(-1, 1, 65)
    disc = ((place[:, None] ** 2 + place**2 < 0.25) * 200.0).expand(12, 1, -1, -1).contiguous()
    changed, _ = still(aspect=0.4)(disc, one_hot(12), chance())
    seen = changed[:, 0] > 100
    wide, tall = seen.any(dim=1).sum(dim=1).float(), seen.any(dim=2).sum(dim=1).float()
    assert (wide / tall).max() > 1.15
    assert (wide / tall).min() < 1 / 1.15
    torch.testing.assert_close(changed.mean(dim=(1, 2, 3)), disc.mean(dim=(1, 2, 3)), rtol=0.03, atol=0)


def test_of_a_share_the_others_stay_as_they_are() -> None:
    images = torch.rand(200, 1, 9, 7, generator=chance()) * 255
    changed, _ = resolve("augment", ref("strong", share=0.25))()(images, one_hot(200), chance(4))
    same = torch.tensor([torch.equal(new, old) for new, old in zip(changed, images, strict=True)])
    assert 0.65 < same.float().mean() < 0.85


class AsOnAGpu(TorchFunctionMode):
    """Refuses what a GPU refuses and a device without numbers does not: drawing there with a generator of the CPU."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        told = kwargs or {}
        if isinstance(told.get("generator"), torch.Generator) and told.get("device") is not None:
            assert torch.device(told["device"]).type == told["generator"].device.type
        return function(*args, **told)


@pytest.mark.parametrize("reference", [*(ref(name) for name in NAMES), ref("strong", share=0.5)])
def test_images_stay_on_their_device_though_draws_are_made_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, reference: PartRef
) -> None:
    """On a device without numbers, which stands for a GPU; noise, drawn on the device itself, is left out."""
    monkeypatch.setattr(augment, "noised", lambda images, *_: images)
    change = resolve("augment", reference)()
    images, labels = torch.empty(6, 1, 32, 32, device="meta"), torch.empty(6, 3, device="meta")
    with AsOnAGpu():
        changed, mixed = change(images, labels, chance())
    assert (changed.device, mixed.device, changed.shape) == (images.device, labels.device, images.shape)
