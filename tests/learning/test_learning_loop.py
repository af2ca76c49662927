"""The loop: goes on after a kill to the same weights, stops when it should, says why when it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from secondread.core.errors import BadData
from secondread.learning import loop
from secondread.learning.checkpoints import load_checkpoint, load_weights, save_weights
from secondread.learning.devices import machine, memory_told
from secondread.learning.ema import Average
from secondread.learning.lesson import Course, Lesson, Pace, step_seed
from secondread.learning.loop import finished, fit
from secondread.learning.optimisers import adamw
from secondread.learning.schedules import one_cycle, plateau


class Learner(nn.Module):
    """A small network with every kind of state: BatchNorm, dropout, a convolution in channels-last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(),
                                 nn.Linear(144, 2))  # fmt: skip

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.net(images.float())
        return nn.functional.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean()


class Killed(Exception):
    """Stands for SIGKILL: nothing of the loop catches it."""


def batch(step: int) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(step)
    images = torch.randn(6, 1, 8, 8, generator=chance)
    device = machine().device
    return images.to(device), (images.mean(dim=(1, 2, 3)) > 0).long().to(device)


class School:
    """One training, made anew as after a restart; `die_at` kills it before that step, `die_judging` in that epoch."""

    def __init__(
        self, folder: Path, die_at: int | None = None, losses: list[float] | None = None,
        die_judging: int | None = None, **pace: Any,
    ) -> None:  # fmt: skip
        self.learner, self.folder, self.die_at, self.die_judging = Learner(), folder, die_at, die_judging
        self.losses = losses
        self.told: list[dict[str, Any]] = []
        self.pace = Pace(**({"steps": 14, "epoch_steps": 4, "seed": 3, "clip": 1.0} | pace))
        self.optimiser = adamw(self.learner.parameters(), lr=0.05)

    def supply(self, step: int) -> tuple[Tensor, Tensor]:
        if step == self.die_at:
            raise Killed
        return batch(step)

    def evaluate(self) -> dict[str, float]:
        assert not self.learner.training
        if self.die_judging == len(self.told) + 1:
            raise Killed
        if self.losses is not None:
            return {"val_loss": self.losses[len(self.told)]}
        with torch.no_grad():
            return {"val_loss": float(self.learner(*batch(999))[0])}

    def fit(self, schedule: Any = None, key: str = "key") -> Course:
        made = schedule or one_cycle(self.optimiser, self.pace.steps)
        lesson = Lesson("school", self.learner, self.supply, self.optimiser, made, self.evaluate,
                        lambda: save_weights(self.folder / "best.safetensors", self.learner.state_dict()),
                        self.told.append)  # fmt: skip
        return fit(lesson, self.pace, machine(), self.folder / "checkpoint", key)

    def weights(self) -> dict[str, Tensor]:
        return {name: tensor.cpu().clone() for name, tensor in self.learner.state_dict().items()}

    def best(self) -> dict[str, Tensor]:
        kept = Learner()
        load_weights(self.folder / "best.safetensors", kept)
        return dict(kept.state_dict())


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def timeless(course: Course) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_s")} for row in course.history]


@pytest.mark.parametrize(
    ("die_at", "ema", "save_seconds"),
    [([2], 0.0, 0.0), ([4], 0.9, 120.0), ([5], 0.0, 120.0), ([13], 0.9, 0.0), ([3, 6, 9], 0.9, 0.0)],
)
def test_a_killed_training_ends_with_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, die_at: list[int], ema: float, save_seconds: float
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", save_seconds)  # 0: a checkpoint after every step
    whole = School(tmp_path / "whole", ema=ema)
    course = whole.fit()
    for step in die_at:
        with pytest.raises(Killed):
            School(tmp_path / "killed", die_at=step, ema=ema).fit()
    after = School(tmp_path / "killed", ema=ema)
    resumed = after.fit()
    assert same(after.weights(), whole.weights())
    assert same(after.best(), whole.best())
    assert timeless(resumed) == timeless(course)
    assert resumed.best_epoch == course.best_epoch
    assert [row["epoch"] for row in resumed.history] == [1, 2, 3, 4]


@pytest.mark.parametrize("epoch", [1, 4])
def test_a_training_that_is_killed_while_it_is_judged_judges_that_epoch_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: int
) -> None:
    monkeypatch.setattr(loop, "SAVE_SECONDS", 0.0)
    whole, after = School(tmp_path / "whole"), School(tmp_path / "killed")
    course = whole.fit()
    with pytest.raises(Killed):
        School(tmp_path / "killed", die_judging=epoch).fit()
    assert timeless(after.fit()) == timeless(course)
    assert same(after.best(), whole.best())


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    first, again, other = (School(tmp_path / str(k), seed=seed) for k, seed in enumerate((1, 1, 2)))
    for school in (first, again, other):
        school.fit()
    assert same(first.weights(), again.weights())
    assert not same(first.weights(), other.weights())


def test_a_checkpoint_of_another_key_is_not_used(tmp_path: Path) -> None:
    school = School(tmp_path)
    course = school.fit()
    assert finished(school.pace, tmp_path / "checkpoint", "key") == course
    assert finished(school.pace, tmp_path / "checkpoint", "another") is None
    assert finished(School(tmp_path, steps=99).pace, tmp_path / "checkpoint", "key") is None


class Fatal(list[dict[str, Any]]):
    def append(self, row: dict[str, Any]) -> None:
        raise Killed


def test_who_goes_back_to_earlier_settings_keeps_no_weights_of_those_between(tmp_path: Path) -> None:
    falls_once = [1.0, 2.0, 2.0, 2.0]
    whole, back = School(tmp_path / "whole", losses=falls_once), School(tmp_path / "changed", losses=falls_once)
    whole.fit()
    with pytest.raises(Killed):
        School(tmp_path / "changed", losses=falls_once, die_at=5).fit()
    between = School(tmp_path / "changed", losses=[0.0], seed=99)
    between.told = Fatal()  # its weights are kept by then, and no checkpoint is written yet
    with pytest.raises(Killed):
        between.fit(key="another")
    back.fit()
    assert same(back.best(), whole.best())


def test_a_training_that_is_over_is_not_repeated(tmp_path: Path) -> None:
    course = School(tmp_path).fit()
    again = School(tmp_path, die_at=0)
    before = again.weights()
    assert again.fit() == course
    assert same(again.weights(), before)
    assert (tmp_path / "checkpoint").stat().st_size < (tmp_path / "best.safetensors").stat().st_size


@pytest.mark.parametrize(("share", "seen"), [(1e9, [None, 4, 8, 12]), (1e-9, [None, 4, 4, 4])])
def test_checkpoints_that_cost_much_wait_for_later_epochs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, seen: list[int | None]
) -> None:
    """The step of the checkpoint on disk as each epoch ends: all are written, or only the first and the last."""
    monkeypatch.setattr(loop, "SAVING_SHARE", share)
    there: list[int | None] = []

    class Watching(School):
        def evaluate(self) -> dict[str, float]:
            state = load_checkpoint(self.folder / "checkpoint")
            there.append(state and state["course"]["step"])
            return super().evaluate()

    school = Watching(tmp_path)
    school.fit()
    assert there == seen
    assert finished(school.pace, tmp_path / "checkpoint", "key") is not None


def test_patience_stops_and_the_best_epoch_is_kept(tmp_path: Path) -> None:
    school = School(tmp_path, losses=[3.0, 2.0, 2.5, 2.0, 1.0], steps=40, patience=2)
    course = school.fit()
    assert [row["val_loss"] for row in course.history] == [3.0, 2.0, 2.5, 2.0]
    assert (course.best_epoch, course.best, course.step) == (2, 2.0, 16)
    assert not same(school.best(), school.weights())


@pytest.mark.parametrize("last", [9.0, float("nan")])
def test_the_last_weights_are_kept_where_they_are_wanted(tmp_path: Path, last: float) -> None:
    school = School(tmp_path, losses=[3.0, 1.0, last], steps=12, keep_last=True)
    assert school.fit().best_epoch == 3
    assert same(school.best(), school.weights())


def test_a_figure_that_is_better_when_higher(tmp_path: Path) -> None:
    assert Pace(1, 1, 0, watch="val_auroc").better(0.8, 0.7)
    assert not Pace(1, 1, 0, watch="val_loss").better(0.8, 0.7)


@pytest.mark.parametrize("losses", [[float("nan")] * 3, [float("nan"), 1.0, float("nan")]])
def test_a_figure_that_is_no_number_is_never_the_best_one(tmp_path: Path, losses: list[float]) -> None:
    course = School(tmp_path, losses=losses, steps=12).fit()
    assert course.best_epoch == (3 if course.best is None else 2)


def test_without_validation_rows_the_last_weights_are_kept(tmp_path: Path) -> None:
    school = School(tmp_path)
    school.evaluate = dict  # type: ignore[method-assign, assignment]
    assert school.fit().best_epoch == 4
    assert same(school.best(), school.weights())


def test_a_loss_that_is_not_finite_stops_and_names_the_step(tmp_path: Path) -> None:
    school = School(tmp_path)
    supply = school.supply
    school.supply = lambda step: (supply(step)[0] * (float("nan") if step == 5 else 1), supply(step)[1])  # type: ignore[method-assign]
    with pytest.raises(BadData, match=r"the loss is nan at step 6: lower train\.optimiser\.lr"):
        school.fit()


def test_plateau_is_stepped_by_the_validation_loss(tmp_path: Path) -> None:
    school = School(tmp_path, losses=[1.0] * 5, steps=20)
    school.fit(plateau(school.optimiser, 20, patience=0, factor=0.5))
    assert [row["lr"] for row in school.told] == [0.05, 0.05, 0.025, 0.0125, 0.00625]


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried"),
              torch.OutOfMemoryError("CUDA out of memory")],
)  # fmt: skip
def test_out_of_memory_says_what_to_change(error: BaseException) -> None:
    with pytest.raises(BadData, match=r"out of memory: lower train\.batch or train\.size"), memory_told("a trial"):
        raise error
    with pytest.raises(RuntimeError, match="something else"), memory_told("a trial"):
        raise RuntimeError("something else")


def test_the_average_follows_the_weights_and_leaves_them_alone() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    average = Average(model, 0.5)
    nn.init.ones_(model.weight)
    average.update(step=100)
    with average.applied():
        assert model.weight.item() == 0.5
    assert model.weight.item() == 1.0


def test_step_seeds_do_not_collide() -> None:
    assert len({step_seed(a, b) for a in range(30) for b in range(30)}) == 900
