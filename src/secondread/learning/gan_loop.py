"""The second loop: a generator against a critic, counted in generator updates over an endless shuffled sampler."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from secondread.core.errors import BadData
from secondread.core.progress import progress
from secondread.core.spec import PartRef
from secondread.learning.diffaugment import diff_augment

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Gan:
    """All that the loop needs to know of a GAN."""

    generator: Any
    """[B, latent] noise (and [B] labels) → images in −1..1; has `latent`."""
    critic: Any
    """Images (and labels) → [B] scores."""
    critic_loss: Callable[[Tensor, Tensor], Tensor]
    """(real scores, generated scores) → scalar."""
    generator_loss: Callable[[Tensor], Tensor]
    generator_optimiser: PartRef
    critic_optimiser: PartRef
    critic_steps: Callable[[int], int]
    """Critic updates before the given generator update (counted from 0)."""
    clip: float | None = None
    """Every critic parameter is clamped to ±clip before each critic update."""
    penalty: float = 0.0
    """Weight of (‖∇D(x̂)‖₂ − 1)² between real and generated images."""
    ema: float = 0.999
    augment: tuple[str, ...] = ()
    """DiffAugment policies on real and generated images alike."""
    on_collapse: Literal["stop", "warn"] = "stop"


@dataclass
class GanTraining:
    """One GAN in training: networks, their optimisers, the averaged generator, and every source of chance.

    `images` [N, H, W] or [N, H, W, C] uint8; `labels` [N] for a class-conditional GAN.
    """

    gan: Gan
    images: Images
    labels: NDArray[np.int64] | None
    batch: int
    seed: int
    generator_optimiser: torch.optim.Optimizer
    critic_optimiser: torch.optim.Optimizer
    device: torch.device
    bf16: bool = False
    """Take products in bfloat16; weights, losses and the gradient penalty's norm stay float32."""
    step: int = 0
    drawn: int = 0
    """Real images drawn so far: the position of the endless sampler."""
    chance: torch.Generator = field(default_factory=torch.Generator)
    averaged: nn.Module = field(init=False)

    def __post_init__(self) -> None:
        self.chance.manual_seed(self.seed)
        for network in (self.gan.generator, self.gan.critic):
            network.to(self.device, memory_format=torch.channels_last).train()
        self.averaged = copy.deepcopy(self.gan.generator).eval().requires_grad_(False)

    def made(self, noise: Tensor, labels: Tensor | None) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            images: Tensor = self.gan.generator(noise, labels)
        return images.float()

    def scored(self, images: Tensor, labels: Tensor | None) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            scores: Tensor = self.gan.critic(images, labels)
        return scores.float()

    def state(self) -> dict[str, Any]:
        """Everything that a resumed training needs to end as an undisturbed one would."""
        return {
            "generator": self.gan.generator.state_dict(),
            "critic": self.gan.critic.state_dict(),
            "averaged": self.averaged.state_dict(),
            "generator_optimiser": self.generator_optimiser.state_dict(),
            "critic_optimiser": self.critic_optimiser.state_dict(),
            "chance": self.chance.get_state(),
            "step": self.step,
            "drawn": self.drawn,
        }

    def load(self, state: dict[str, Any]) -> None:
        self.gan.generator.load_state_dict(state["generator"])
        self.gan.critic.load_state_dict(state["critic"])
        self.averaged.load_state_dict(state["averaged"])
        self.generator_optimiser.load_state_dict(state["generator_optimiser"])
        self.critic_optimiser.load_state_dict(state["critic_optimiser"])
        self.chance.set_state(state["chance"].to(torch.uint8).cpu())
        self.step, self.drawn = int(state["step"]), int(state["drawn"])


def fit_gan(
    training: GanTraining, steps: int, name: str, every: int, at_sheet: Callable[[GanTraining], bool]
) -> Iterator[dict[str, float]]:
    """Train up to `steps` generator updates; yields the losses of each; calls `at_sheet` every `every` updates.

    Ends early when `at_sheet` answers that it is no use to go on (False). Raises `BadData` naming the step when a loss
    is not finite.
    """
    with progress(name, steps, "updates") as shown:
        shown.advance(training.step)
        while training.step < steps:
            started, before = time.perf_counter(), training.drawn
            losses = _update(training)
            if not all(np.isfinite(value) for value in losses.values()):
                raise BadData(f"{name}: the loss is not finite at step {training.step}: lower the GAN's lr")
            training.step += 1
            seconds = time.perf_counter() - started
            losses |= {"step": training.step, "images_per_s": (training.drawn - before) / max(seconds, 1e-9)}
            shown.note(f"{losses['images_per_s']:.0f} images/s")
            shown.advance()
            yield losses
            if (training.step % every == 0 or training.step == steps) and not at_sheet(training):
                return


def _update(training: GanTraining) -> dict[str, float]:
    """One generator update after its critic updates."""
    gan = training.gan
    critic_loss, wasserstein = torch.zeros(2, device=training.device)
    gan.critic.requires_grad_(True)
    for _ in range(gan.critic_steps(training.step)):
        critic_loss, wasserstein = _update_critic(training)
    gan.critic.requires_grad_(False)  # its gradients are not needed on the generator's way back
    noise, labels = _noise(training, _draw_labels(training))
    made = diff_augment(training.made(noise, labels), gan.augment, training.chance)
    loss = gan.generator_loss(training.scored(made, labels))
    training.generator_optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    training.generator_optimiser.step()
    _average(training)
    told = torch.stack([loss.detach(), critic_loss, wasserstein]).tolist()  # one look at the device for all three
    return dict(zip(("generator_loss", "critic_loss", "wasserstein"), told, strict=True))


def _update_critic(training: GanTraining) -> tuple[Tensor, Tensor]:
    gan = training.gan
    if gan.clip is not None:
        with torch.no_grad():
            for parameter in gan.critic.parameters():
                parameter.clamp_(-gan.clip, gan.clip)
    real, labels = _draw(training)
    noise, _ = _noise(training, labels)
    with torch.no_grad():
        fake = training.made(noise, labels)
    real = diff_augment(real, gan.augment, training.chance)
    fake = diff_augment(fake, gan.augment, training.chance)
    real_scores, fake_scores = training.scored(real, labels), training.scored(fake, labels)
    loss = gan.critic_loss(real_scores, fake_scores)
    if gan.penalty:
        loss = loss + gan.penalty * _gradient_penalty(training, real, fake, labels)
    training.critic_optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    training.critic_optimiser.step()
    return loss.detach(), (real_scores.mean() - fake_scores.mean()).detach()


def _gradient_penalty(training: GanTraining, real: Tensor, fake: Tensor, labels: Tensor | None) -> Tensor:
    """(‖∇D(x̂)‖₂ − 1)² with x̂ drawn per sample between real and generated (Gulrajani et al. 2017)."""
    share = torch.rand(len(real), generator=training.chance).to(real.device, non_blocking=True)[:, None, None, None]
    between = (real + share * (fake - real)).detach().requires_grad_(True)
    scores = training.scored(between, labels)
    (gradient,) = torch.autograd.grad(scores.sum(), between, create_graph=True)
    norm = (gradient.flatten(1).square().sum(dim=1) + 1e-12).sqrt()
    return (norm - 1).square().mean()


def _draw(training: GanTraining) -> tuple[Tensor, Tensor | None]:
    """The next batch of the endless sampler: shuffled passes over all images, whatever the batch."""
    count = len(training.images)
    positions = np.arange(training.drawn, training.drawn + training.batch)
    training.drawn += training.batch
    index = np.empty(training.batch, np.int64)
    for passed in np.unique(positions // count):
        order = np.random.default_rng([training.seed, int(passed)]).permutation(count)
        inside = positions // count == passed
        index[inside] = order[positions[inside] % count]
    pixels = torch.from_numpy(np.ascontiguousarray(training.images[index])).to(training.device, non_blocking=True)
    planes = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    labels = None if training.labels is None else torch.from_numpy(training.labels[index]).to(training.device)
    return planes.float() / 127.5 - 1.0, labels


def _draw_labels(training: GanTraining) -> Tensor | None:
    """Labels for a generator update, drawn as often as they stand in the training rows."""
    if training.labels is None:
        return None
    index = torch.randint(0, len(training.labels), (training.batch,), generator=training.chance)
    return torch.from_numpy(training.labels)[index].to(training.device)


def _noise(training: GanTraining, labels: Tensor | None) -> tuple[Tensor, Tensor | None]:
    latent = training.gan.generator.latent
    return torch.randn(training.batch, latent, generator=training.chance).to(training.device), labels


def _average(training: GanTraining) -> None:
    """Exponential moving average of the generator, ramped up so that early noise is forgotten."""
    decay = min(training.gan.ema, (1 + training.step) / (10 + training.step))
    with torch.no_grad():
        for kept, new in zip(training.averaged.parameters(), training.gan.generator.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        for buffer, fresh in zip(training.averaged.buffers(), training.gan.generator.buffers(), strict=True):
            buffer.copy_(fresh)


def generate(generator: nn.Module, count: int, seed: int, label: int | None, batch: int = 128) -> Images:
    """`count` images [N, H, W] or [N, H, W, 3] uint8 from noise of `seed`: the same on every machine's CPU."""
    chance = torch.Generator().manual_seed(seed)
    device = next(generator.parameters()).device
    made = []
    with torch.inference_mode():
        for start in range(0, count, batch):
            size = min(batch, count - start)
            noise = torch.randn(size, generator.latent, generator=chance).to(device)  # type: ignore[call-overload]
            labels = None if label is None else torch.full((size,), label, device=device)
            planes = ((generator(noise, labels) + 1) * 127.5).round().clamp(0, 255).byte()
            made.append(planes.permute(0, 2, 3, 1).cpu().numpy())
    images: Images = np.concatenate(made)
    return images[..., 0] if images.shape[-1] == 1 else images
