"""The GAN loop: endless sampling, resuming to the same result, the penalty, stopping at a loss that is not finite."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from secondread.core.errors import BadData
from secondread.core.registry import resolve
from secondread.core.spec import PartRef
from secondread.learning import gan_loop
from secondread.learning.checkpoints import load_checkpoint, save_checkpoint
from secondread.learning.devices import machine
from secondread.learning.diffaugment import POLICIES, diff_augment
from secondread.learning.gan_loop import GanTraining, fit_gan, generate

IMAGES = np.random.default_rng(0).integers(0, 256, (21, 32, 32), dtype=np.uint8)


def training(name: str = "dcgan", classes: int = 0, seed: int = 3, **options: object) -> GanTraining:
    torch.manual_seed(seed)
    gan = resolve("gans", PartRef.model_validate({"name": name, "width": 8, **options}))(32, 1, classes)
    labels = np.arange(len(IMAGES)) % classes if classes else None
    optimisers = [
        resolve("optimisers", ref)(list(network.parameters()))
        for ref, network in ((gan.generator_optimiser, gan.generator), (gan.critic_optimiser, gan.critic))
    ]
    return GanTraining(gan, IMAGES, labels, 8, seed, optimisers[0], optimisers[1], machine().device)


def run(trained: GanTraining, steps: int) -> list[dict[str, float]]:
    return list(fit_gan(trained, steps, "a GAN", 1000, lambda _: True))


@pytest.mark.parametrize("name", ["dcgan", "wgan", "wgan_gp"])
def test_a_resumed_training_ends_as_an_undisturbed_one(name: str, tmp_path: Path) -> None:
    whole = training(name)
    run(whole, 4)
    first = training(name)
    run(first, 2)
    save_checkpoint(tmp_path / "checkpoint.safetensors", first.state())
    second = training(name, seed=3)
    second.load(load_checkpoint(tmp_path / "checkpoint.safetensors"))
    run(second, 4)
    np.testing.assert_array_equal(generate(whole.averaged, 5, 1, None), generate(second.averaged, 5, 1, None))


@pytest.mark.parametrize("name", ["dcgan", "wgan", "wgan_gp"])
def test_products_in_bfloat16_follow_those_in_float32(name: str) -> None:
    exact, short = training(name), training(name)
    short.bf16 = True
    wanted, found = run(exact, 2), run(short, 2)
    assert found != wanted  # something was taken in bfloat16
    for mine, theirs in zip(found, wanted, strict=True):
        assert mine["critic_loss"] == pytest.approx(theirs["critic_loss"], rel=0.05, abs=0.02)
        assert mine["generator_loss"] == pytest.approx(theirs["generator_loss"], rel=0.05, abs=0.02)
    assert {weight.dtype for weight in short.gan.critic.parameters()} == {torch.float32}


def test_the_sampler_passes_over_all_images_before_it_repeats_one() -> None:
    trained = training(classes=0)
    drawn = torch.cat([gan_loop._draw(trained)[0] for _ in range(21)])  # 21 batches of 8 are 8 passes over 21 images
    pixels = ((drawn[:, 0] + 1) * 127.5).round().byte().cpu().numpy()
    for passed in range(8):
        seen = {image.tobytes() for image in pixels[passed * 21 : (passed + 1) * 21]}
        assert len(seen) == 21


def test_a_class_smaller_than_the_batch_trains() -> None:
    trained = training()
    trained.images = IMAGES[:5]
    assert len(run(trained, 2)) == 2
    assert trained.drawn == 16


def test_the_critic_of_wgan_judges_with_clipped_weights() -> None:
    trained = training("wgan", critic_steps=1, lr=0.05)
    largest: list[float] = []

    def look(critic: torch.nn.Module, _: object) -> None:
        largest.append(max(p.abs().max().item() for p in critic.parameters()))

    trained.gan.critic.register_forward_pre_hook(look)
    run(trained, 3)
    real, generated, for_generator = largest[0::3], largest[1::3], largest[2::3]
    assert max(real + generated) <= 0.0100001
    assert min(for_generator) > 0.0100001  # the update itself leaves the bounds: clipping did the work


def test_the_gradient_penalty_is_zero_for_a_critic_of_slope_one() -> None:
    class Plane(torch.nn.Module):
        def forward(self, images: torch.Tensor, labels: object = None) -> torch.Tensor:
            return images.flatten(1).sum(1) / images[0].numel() ** 0.5

    trained = training("wgan_gp")
    object.__setattr__(trained.gan, "critic", Plane())
    real, fake = torch.rand(6, 1, 32, 32), torch.rand(6, 1, 32, 32)
    assert gan_loop._gradient_penalty(trained, real, fake, None).item() == pytest.approx(0.0, abs=1e-6)


def test_a_loss_that_is_not_finite_stops_and_names_the_step() -> None:
    trained = training()
    with torch.no_grad():
        next(trained.gan.generator.parameters()).fill_(float("nan"))
    with pytest.raises(BadData, match="not finite at step 0"):
        run(trained, 1)


def test_a_conditional_generator_makes_each_class() -> None:
    trained = training(classes=3)
    run(trained, 1)
    made = [generate(trained.averaged, 4, 0, label) for label in range(3)]
    assert made[0].shape == (4, 32, 32)
    assert not np.array_equal(made[0], made[1])
    np.testing.assert_array_equal(made[2], generate(trained.averaged, 4, 0, 2))


@pytest.mark.parametrize("policy", sorted(POLICIES))
def test_augmentation_keeps_shape_passes_gradients_and_depends_on_its_generator_alone(policy: str) -> None:
    images = torch.rand(5, 1, 16, 16, requires_grad=True)
    once = diff_augment(images, (policy,), torch.Generator().manual_seed(1))
    again = diff_augment(images, (policy,), torch.Generator().manual_seed(1))
    other = diff_augment(images, (policy,), torch.Generator().manual_seed(2))
    assert once.shape == images.shape
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    once.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_translation_moves_each_image_as_a_whole() -> None:
    images = torch.zeros(40, 1, 16, 16)
    images[:, :, 8, 8] = 1.0
    moved = diff_augment(images, ("translation",), torch.Generator().manual_seed(0))
    places = {tuple(torch.nonzero(image[0])[0].tolist()) for image in moved}
    assert len(places) > 5
    assert all(abs(y - 8) <= 2 and abs(x - 8) <= 2 for y, x in places)
    assert torch.equal(moved.sum(dim=(1, 2, 3)), torch.ones(40))
