"""Steps recorded as a CUDA graph teach what plain steps teach; they need a GPU, all but the refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secondread.core.registry import resolve
from secondread.core.spec import Engine, ref
from secondread.learning import loop
from secondread.learning.devices import machine
from secondread.learning.graphs import Recorded, recorded
from secondread.learning.lesson import Lesson, Pace
from secondread.learning.optimisers import adamw, rmsprop
from secondread.learning.schedules import one_cycle

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
FUSED = ["adam", "adamw", "sgd"]


class Learner(nn.Module):
    """Convolution, BatchNorm and dropout; `asks` makes it look at a value of the device, which no graph can hold."""

    def __init__(self, dropout: float, asks: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(dropout), nn.Flatten(),
                                 nn.Linear(144, 2))  # fmt: skip
        self.asks = asks

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net(images)
        loss = nn.functional.cross_entropy(logits, labels)
        if self.asks and loss.item() > 1e9:
            raise AssertionError
        return loss, (logits.argmax(1) == labels).float().mean()


def learnt(folder: Path, optimiser: str = "adamw", dropout: float = 0.0, asks: bool = False) -> tuple[Any, Any]:
    """A training of 40 steps in float32: its weights and its course."""
    learner, place = Learner(dropout, asks), machine(Engine(precision="fp32"))
    made = resolve("optimisers", ref(optimiser, lr=0.02))(learner.parameters())

    def batch(step: int) -> tuple[Tensor, Tensor]:
        images = torch.randn(16, 1, 8, 8, generator=torch.Generator().manual_seed(step)).to(place.device)
        return images, (images.mean(dim=(1, 2, 3)) > 0).long()

    pace = Pace(steps=40, epoch_steps=20, seed=3, clip=1.0, ema=0.9)
    lesson = Lesson("school", learner, batch, made, one_cycle(made, 40), dict, lambda: None)
    course = loop.fit(lesson, pace, place, folder / "checkpoint", "key")
    return {name: tensor.cpu() for name, tensor in learner.state_dict().items()}, course


@pytest.fixture
def plainly(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Turns recording off."""
    return lambda: monkeypatch.setattr(loop, "recorded", lambda learn, *_: learn)


@on_gpu
@pytest.mark.parametrize("optimiser", FUSED)
def test_replayed_steps_end_with_the_weights_of_plain_ones(
    tmp_path: Path, plainly: Callable[[], None], optimiser: str
) -> None:
    weights, course = learnt(tmp_path / "recorded", optimiser)
    plainly()
    plain, other = learnt(tmp_path / "plain", optimiser)
    for name, tensor in plain.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4)
    assert [row["train_loss"] for row in course.history] == pytest.approx(
        [row["train_loss"] for row in other.history], rel=1e-3
    )


@on_gpu
def test_dropout_draws_anew_at_every_replay_and_the_same_for_the_same_seed(
    tmp_path: Path, plainly: Callable[[], None]
) -> None:
    first, again = (learnt(tmp_path / str(k), dropout=0.5)[0] for k in range(2))
    plainly()
    plain, _ = learnt(tmp_path / "plain", dropout=0.5)
    without, _ = learnt(tmp_path / "without", dropout=0.0)
    for name, tensor in first.items():
        assert torch.equal(tensor, again[name])
        torch.testing.assert_close(tensor, plain[name], rtol=1e-3, atol=1e-4)
    assert not torch.allclose(first["net.5.weight"], without["net.5.weight"], atol=1e-3)


@on_gpu
def test_what_cannot_be_recorded_runs_as_it_is(
    tmp_path: Path, plainly: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    weights, _ = learnt(tmp_path / "asks", dropout=0.5, asks=True)
    assert "cannot be recorded" in "".join(capsys.readouterr())
    plainly()
    plain, _ = learnt(tmp_path / "plain", dropout=0.5, asks=True)
    for name, tensor in plain.items():
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4)


@on_gpu
def test_only_fused_optimisers_are_recorded() -> None:
    parameters = [nn.Parameter(torch.ones(2, device="cuda"))]
    assert isinstance(recorded(_learn, adamw(parameters), machine()), Recorded)
    assert recorded(_learn, rmsprop(parameters), machine()) is _learn


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_nothing_is_recorded_on_a_processor() -> None:
    assert recorded(_learn, adamw([nn.Parameter(torch.ones(2))]), machine()) is _learn


def _learn(inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    return inputs.sum(), labels.sum()
