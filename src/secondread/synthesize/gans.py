"""The three GANs as parts: networks, losses and the optimisers of the published recipes."""

from __future__ import annotations

from typing import Any, Literal

from torch.nn import functional as F

from secondread.core.limits import BelowOne, Count, NotNegative, Positive
from secondread.core.registry import part
from secondread.core.spec import ref
from secondread.learning.gan_loop import Gan
from secondread.synthesize.networks import Critic, Generator, Norm

OnCollapse = Literal["stop", "warn"]
Change = Literal["colour", "translation", "cutout"]


@part("gans", "dcgan")
def dcgan(
    size: int,
    channels: int,
    classes: int,
    /,
    *,
    width: Count = 64,
    latent: Count = 100,
    lr: Positive = 2e-4,
    beta1: BelowOne = 0.5,
    ema: BelowOne = 0.999,
    augment: list[Change] = ["translation", "cutout"],  # noqa: B006  (never changed)
    on_collapse: OnCollapse = "stop",
) -> Gan:
    """DCGAN: non-saturating cross entropy, BatchNorm, Adam 2e-4 (0.5, 0.999).

    Radford, Metz and Chintala 2015, arXiv 1511.06434.
    """
    adam = ref("adam", lr=lr, betas=[beta1, 0.999])
    return Gan(
        **_networks(size, channels, classes, latent, width, "batch"),
        critic_loss=lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
        generator_loss=lambda fake: F.softplus(-fake).mean(),
        generator_optimiser=adam,
        critic_optimiser=adam,
        critic_steps=lambda step: 1,
        ema=ema,
        augment=tuple(augment),
        on_collapse=on_collapse,
    )


@part("gans", "wgan")
def wgan(
    size: int,
    channels: int,
    classes: int,
    /,
    *,
    width: Count = 64,
    latent: Count = 100,
    lr: Positive = 5e-5,
    clip: Positive = 0.01,
    critic_steps: Count = 5,
    eager_critic: bool = False,
    ema: BelowOne = 0.999,
    augment: list[Change] = ["translation", "cutout"],  # noqa: B006
    on_collapse: OnCollapse = "stop",
) -> Gan:
    """WGAN: Wasserstein critic with clipped weights, RMSprop 5e-5, five critic updates per generator update.

    Arjovsky, Chintala and Bottou 2017, arXiv 1701.07875. `eager_critic` trains the critic 100 times before each of the
    first 25 generator updates and every 500th, as the authors' code does.
    """
    rmsprop = ref("rmsprop", lr=lr)
    return Gan(
        **_networks(size, channels, classes, latent, width, "batch"),
        critic_loss=lambda real, fake: fake.mean() - real.mean(),
        generator_loss=lambda fake: -fake.mean(),
        generator_optimiser=rmsprop,
        critic_optimiser=rmsprop,
        critic_steps=lambda step: 100 if eager_critic and (step < 25 or step % 500 == 0) else critic_steps,
        clip=clip,
        ema=ema,
        augment=tuple(augment),
        on_collapse=on_collapse,
    )


@part("gans", "wgan_gp")
def wgan_gp(
    size: int,
    channels: int,
    classes: int,
    /,
    *,
    width: Count = 64,
    latent: Count = 128,
    lr: Positive = 1e-4,
    beta1: BelowOne = 0.0,
    beta2: BelowOne = 0.9,
    penalty: NotNegative = 10.0,
    critic_steps: Count = 5,
    norm: Literal["layer", "none"] = "layer",
    ema: BelowOne = 0.999,
    augment: list[Change] = ["translation", "cutout"],  # noqa: B006
    on_collapse: OnCollapse = "stop",
) -> Gan:
    """WGAN-GP: Wasserstein critic with a gradient penalty, no BatchNorm in the critic, Adam 1e-4 (0, 0.9).

    Gulrajani et al. 2017, arXiv 1704.00028.
    """
    adam = ref("adam", lr=lr, betas=[beta1, beta2])
    return Gan(
        **_networks(size, channels, classes, latent, width, norm),
        critic_loss=lambda real, fake: fake.mean() - real.mean(),
        generator_loss=lambda fake: -fake.mean(),
        generator_optimiser=adam,
        critic_optimiser=adam,
        critic_steps=lambda step: critic_steps,
        penalty=penalty,
        ema=ema,
        augment=tuple(augment),
        on_collapse=on_collapse,
    )


def _networks(size: int, channels: int, classes: int, latent: int, width: int, norm: Norm) -> dict[str, Any]:
    return {
        "generator": Generator(size, channels, latent, width, classes),
        "critic": Critic(size, channels, width, norm, classes),
    }
