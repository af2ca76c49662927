"""Images/s of one GAN step: our loop against the loop of the PyTorch DCGAN tutorial's shape, in one run.

The peer is contiguous, unfused, computes gradients of the critic in the generator's update, and for the Wasserstein
GANs does not detach the generated images from the generator. Run: `python -m bench.gans [--steps 6] [--size 64]`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from secondread.core.registry import resolve
from secondread.core.spec import PartRef
from secondread.learning import gan_loop
from secondread.learning.gan_loop import Gan, GanTraining

BATCH = 32


def build(name: str, size: int) -> Gan:
    torch.manual_seed(0)
    gan: Gan = resolve("gans", PartRef.model_validate({"name": name, "augment": []}))(size, 1, 0)
    return gan


def ours(name: str, size: int, images: np.ndarray) -> Callable[[], None]:
    gan = build(name, size)
    optimisers = [
        resolve("optimisers", ref)(list(network.parameters()))
        for ref, network in ((gan.generator_optimiser, gan.generator), (gan.critic_optimiser, gan.critic))
    ]
    training = GanTraining(gan, images, None, BATCH, 0, optimisers[0], optimisers[1], torch.device("cpu"))

    def step() -> None:
        gan_loop._update(training)
        training.step += 1

    return step


def peer(name: str, size: int, images: np.ndarray) -> Callable[[], None]:
    gan = build(name, size)
    rate = gan.generator_optimiser.options["lr"]
    kind = torch.optim.RMSprop if name == "wgan" else torch.optim.Adam
    of_generator, of_critic = kind(gan.generator.parameters(), lr=rate), kind(gan.critic.parameters(), lr=rate)
    real_images = torch.from_numpy(images)[:, None].float() / 127.5 - 1

    def penalty(real: Tensor, fake: Tensor) -> Tensor:
        between = torch.rand(BATCH, 1, 1, 1) * (fake - real) + real
        between.requires_grad_(True) if between.is_leaf else None
        (gradient,) = torch.autograd.grad(gan.critic(between).sum(), between, create_graph=True)
        return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()

    def step() -> None:
        for _ in range(gan.critic_steps(0)):
            if gan.clip:
                for parameter in gan.critic.parameters():
                    parameter.data.clamp_(-gan.clip, gan.clip)
            real = real_images[torch.randint(0, len(real_images), (BATCH,))]
            fake = gan.generator(torch.randn(BATCH, gan.generator.latent))
            given = fake.detach() if name == "dcgan" else fake
            of_critic.zero_grad()
            loss = gan.critic_loss(gan.critic(real), gan.critic(given))
            if gan.penalty:
                loss = loss + gan.penalty * penalty(real, given)
            loss.backward()
            of_critic.step()
        of_generator.zero_grad()
        gan.generator_loss(gan.critic(gan.generator(torch.randn(BATCH, gan.generator.latent)))).backward()
        of_generator.step()

    return step


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__)
    wanted.add_argument("--steps", type=int, default=5)
    wanted.add_argument("--size", type=int, default=64)
    given = wanted.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (256, given.size, given.size), dtype=np.uint8)
    print(f"{'GAN':<8} {'ours s':>8} {'peer s':>8} {'ratio':>6} {'ours real images/s':>19}")
    for name in ("dcgan", "wgan", "wgan_gp"):
        sides = {"ours": ours(name, given.size, images), "peer": peer(name, given.size, images)}
        taken: dict[str, list[float]] = {side: [] for side in sides}
        for round_ in range(given.steps + 1):  # interleaved; the first round warms up
            for side, step in sides.items():
                started = time.perf_counter()
                step()
                if round_:
                    taken[side].append(time.perf_counter() - started)
        mine, theirs = (statistics.median(taken[side]) for side in ("ours", "peer"))
        drawn = BATCH * build(name, 32).critic_steps(0)
        print(f"{name:<8} {mine:8.3f} {theirs:8.3f} {theirs / mine:6.2f} {drawn / mine:19.1f}", flush=True)


if __name__ == "__main__":
    main()
