"""Images/s of one GAN step: our loop against the loop of the PyTorch DCGAN tutorial's shape, in one run.

The peer is contiguous, unfused, computes gradients of the critic in the generator's update, and for the Wasserstein
GANs does not detach the generated images from the generator. Each side lives in a process of its own, with the settings
of its own (allocator and denormals on our side, PyTorch's defaults on the other), and they take turns. The tutorial's
batch is 128, its images 64 px.
Run: `python -m bench.gans [--steps 5] [--size 64] [--batch 128]`.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bench.turns import apart
from secondread.core.registry import resolve
from secondread.core.spec import PartRef
from secondread.learning import gan_loop
from secondread.learning.devices import machine
from secondread.learning.gan_loop import Gan, GanTraining


def build(name: str, size: int) -> Gan:
    torch.manual_seed(0)
    gan: Gan = resolve("gans", PartRef.model_validate({"name": name, "augment": []}))(size, 1, 0)
    return gan


def ours(name: str, size: int, batch: int, images: np.ndarray) -> Callable[[], None]:
    place = machine()
    gan = build(name, size)
    optimisers = [
        resolve("optimisers", ref)(list(network.parameters()))
        for ref, network in ((gan.generator_optimiser, gan.generator), (gan.critic_optimiser, gan.critic))
    ]
    training = GanTraining(gan, images, None, batch, 0, optimisers[0], optimisers[1], place.device, place.may_choose)

    def step() -> None:
        gan_loop._update(training)
        training.step += 1

    return step


def peer(name: str, size: int, batch: int, images: np.ndarray) -> Callable[[], None]:
    gan = build(name, size)
    rate = gan.generator_optimiser.options["lr"]
    kind = torch.optim.RMSprop if name == "wgan" else torch.optim.Adam
    of_generator, of_critic = kind(gan.generator.parameters(), lr=rate), kind(gan.critic.parameters(), lr=rate)
    real_images = torch.from_numpy(images)[:, None].float() / 127.5 - 1

    def penalty(real: Tensor, fake: Tensor) -> Tensor:
        between = torch.rand(batch, 1, 1, 1) * (fake - real) + real
        between.requires_grad_(True) if between.is_leaf else None
        (gradient,) = torch.autograd.grad(gan.critic(between).sum(), between, create_graph=True)
        return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()

    def step() -> None:
        for _ in range(gan.critic_steps(0)):
            if gan.clip:
                for parameter in gan.critic.parameters():
                    parameter.data.clamp_(-gan.clip, gan.clip)
            real = real_images[torch.randint(0, len(real_images), (batch,))]
            fake = gan.generator(torch.randn(batch, gan.generator.latent))
            given = fake.detach() if name == "dcgan" else fake
            of_critic.zero_grad()
            loss = gan.critic_loss(gan.critic(real), gan.critic(given))
            if gan.penalty:
                loss = loss + gan.penalty * penalty(real, given)
            loss.backward()
            of_critic.step()
        of_generator.zero_grad()
        gan.generator_loss(gan.critic(gan.generator(torch.randn(batch, gan.generator.latent)))).backward()
        of_generator.step()

    return step


SIDES = {"ours": ours, "peer": peer}


def take_turns(name: str, size: int, batch: int, steps: int) -> dict[str, float]:
    """Side → median seconds of a step; the first round warms up."""
    images = np.random.default_rng(0).integers(0, 256, (256, size, size), dtype=np.uint8)
    taken: dict[str, list[float]] = {side: [] for side in SIDES}
    with apart({side: partial(make, name, size, batch, images) for side, make in SIDES.items()}) as sides:
        for _ in range(steps + 1):
            for side, timed in sides.items():
                taken[side].append(timed(1))
    return {side: statistics.median(seconds[1:]) for side, seconds in taken.items()}


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--steps", type=int, default=5)
    wanted.add_argument("--size", type=int, default=64)
    wanted.add_argument("--batch", type=int, default=128)
    wanted.add_argument("--only", nargs="*", default=["dcgan", "wgan", "wgan_gp"])
    given = wanted.parse_args()
    print(f"{'GAN':<8} {'ours s':>8} {'peer s':>8} {'ratio':>6} {'ours real images/s':>19}")
    for name in given.only:
        took = take_turns(name, given.size, given.batch, given.steps)
        drawn = given.batch * build(name, 32).critic_steps(0)
        print(f"{name:<8} {took['ours']:8.3f} {took['peer']:8.3f} {took['peer'] / took['ours']:6.2f} "
              f"{drawn / took['ours']:19.1f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
