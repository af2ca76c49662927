"""Every registered GAN: shapes, gradients, labels, and the published constants."""

from __future__ import annotations

import pytest
import torch

from secondread.core import registry
from secondread.core.spec import PartRef
from secondread.learning.gan_loop import Gan

NAMES = sorted(registry.parts("gans"))


def built(name: str, size: int = 32, channels: int = 1, classes: int = 0) -> Gan:
    torch.manual_seed(0)
    options = {"width": 8}
    gan: Gan = registry.resolve("gans", PartRef.model_validate({"name": name, **options}))(size, channels, classes)
    return gan


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("size", "channels", "classes"), [(32, 1, 0), (64, 3, 0), (32, 1, 3), (128, 1, 0)])
def test_shapes_and_range(name: str, size: int, channels: int, classes: int) -> None:
    gan = built(name, size, channels, classes)
    labels = torch.tensor([0, 2]) % classes if classes else None
    made = gan.generator(torch.randn(2, gan.generator.latent), labels)
    assert made.shape == (2, channels, size, size)
    assert made.abs().max() <= 1
    assert gan.critic(made, labels).shape == (2,)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_every_parameter(name: str) -> None:
    gan = built(name)
    noise, real = torch.randn(4, gan.generator.latent), torch.rand(4, 1, 32, 32) * 2 - 1
    gan.generator_loss(gan.critic(gan.generator(noise))).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in gan.generator.parameters())
    gan.critic.zero_grad()
    gan.critic_loss(gan.critic(real), gan.critic(gan.generator(noise).detach())).backward()
    # a bias of the last layer cancels in a difference of means, so only that one may be without gradient
    still = [n for n, p in gan.critic.named_parameters() if p.grad is None or p.grad.abs().sum() == 0]
    assert all(n.endswith("bias") for n in still)


@pytest.mark.parametrize("name", NAMES)
def test_the_critic_wants_real_above_generated_and_the_generator_the_contrary(name: str) -> None:
    gan = built(name)
    low, high = torch.full((4,), -1.0), torch.full((4,), 1.0)
    assert gan.critic_loss(high, low) < gan.critic_loss(low, high)
    assert gan.generator_loss(high) < gan.generator_loss(low)


def test_the_published_constants() -> None:
    dcgan, wgan, wgan_gp = (built(name) for name in ("dcgan", "wgan", "wgan_gp"))
    assert dcgan.generator_optimiser.options == {"lr": 2e-4, "betas": [0.5, 0.999]}
    assert wgan.critic_optimiser.name == "rmsprop"
    assert (wgan.clip, wgan.critic_steps(0)) == (0.01, 5)
    assert (wgan_gp.penalty, wgan_gp.generator_optimiser.options["betas"]) == (10.0, [0.0, 0.9])
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in wgan_gp.critic.modules())
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in wgan.critic.modules())


def test_the_eager_critic_of_the_authors_code() -> None:
    gan = registry.resolve("gans", PartRef.model_validate({"name": "wgan", "eager_critic": True}))(32, 1, 0)
    assert [gan.critic_steps(step) for step in (0, 24, 25, 499, 500, 501)] == [100, 100, 5, 5, 100, 5]
