"""The one loop that classifiers and autoencoders are trained by.

All chance of step s is seeded by (seed, s) and every batch depends on s alone, so that a training which was killed
goes on from its last checkpoint to the same weights as an undisturbed one.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from secondread.core.errors import BadData
from secondread.core.progress import Progress, progress
from secondread.learning.checkpoints import load_checkpoint, save_checkpoint
from secondread.learning.devices import Machine, memory_told
from secondread.learning.ema import Average
from secondread.learning.graphs import recorded
from secondread.learning.lesson import Course, Lesson, Pace, step_seed
from secondread.learning.schedules import per_evaluation

SAVE_SECONDS = 120.0  # within an epoch
SAVING_SHARE = 0.1  # of the time, at most, goes into the checkpoints at the ends of epochs; a GPU's last half a second
LOSSES_AT_ONCE = 16  # on a GPU, where looking at each loss would stall the device


def fit(lesson: Lesson, pace: Pace, machine: Machine, checkpoint: Path, key: str) -> Course:
    """Train to the end, going on from `checkpoint` when it is one of the same `key`; of one that is over, its course.

    Raises `BadData` naming the step when the loss is not finite, and saying what to change when memory runs out.
    """
    if (over := finished(pace, checkpoint, key)) is not None:
        return over  # whoever asks takes the weights that were kept
    with memory_told(lesson.name):
        run = Training(lesson, pace, machine, checkpoint, key)
        run.resume()
        with progress(lesson.name, pace.steps * run.images_per_step) as shown:
            shown.advance(run.course.step * run.images_per_step)
            while not run.course.over(pace):
                run.epoch(shown)
    machine.accelerator.free_memory()
    return run.course


def finished(pace: Pace, checkpoint: Path, key: str) -> Course | None:
    """The course of a training that needs no more steps; None when it is not over, or of another key."""
    state = load_checkpoint(checkpoint)
    if state is None or state["key"] != key:
        return None
    course = Course(**state["course"])
    return course if course.over(pace) else None


class Training:
    """A training under way."""

    def __init__(self, lesson: Lesson, pace: Pace, machine: Machine, checkpoint: Path, key: str) -> None:
        self.lesson, self.pace, self.machine = lesson, pace, machine
        self.checkpoint, self.key, self.course = checkpoint, key, Course()
        lesson.learner.to(machine.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        machine.choose_precision(lesson.learner)
        called = torch.compile(lesson.learner) if machine.compiled else lesson.learner
        self.called, self.optimiser = machine.accelerator.prepare(called, lesson.optimiser)
        self.learn = recorded(self._learn, lesson.optimiser, machine)
        self.average = Average(lesson.learner, pace.ema) if pace.ema else None
        self.pending: list[tuple[Tensor, Tensor]] = []
        self.images_per_step = len(lesson.batches(0)[0]) * machine.world
        self.saved, self.saving = time.monotonic(), 0.0

    def epoch(self, shown: Progress) -> None:
        """Train to the end of the epoch that the course stands in, evaluate, and write a checkpoint."""
        course = self.course
        end = min((course.step // self.pace.epoch_steps + 1) * self.pace.epoch_steps, self.pace.steps)
        begun = time.perf_counter()
        self.lesson.learner.train()
        while course.step < end:
            self.one_step()
            shown.advance(self.images_per_step)
            due = time.monotonic() - self.saved > SAVE_SECONDS
            if due and not self.pending and course.step < end:  # who goes on from an epoch's end would not judge it
                begun = self._clock(begun)
                self.save()
        self._look()
        self._clock(begun)
        self._evaluate(shown)
        if course.over(self.pace) or time.monotonic() - self.saved > self.saving / SAVING_SHARE:
            self.save()

    def one_step(self) -> None:
        step, lesson = self.course.step, self.lesson
        torch.manual_seed(step_seed(self.pace.seed, step, self.machine.rank))
        self.pending.append(self.learn(*lesson.batches(step)))
        if not per_evaluation(lesson.schedule):
            lesson.schedule.step()  # type: ignore[call-arg]
        if self.average is not None:
            self.average.update(step)
        self.course.step += 1
        if not self.machine.on_gpu or len(self.pending) == LOSSES_AT_ONCE:
            self._look()

    def _learn(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Forward, backward and one update of the weights: the loss and the share of right answers before it."""
        loss, correct = self.called(inputs, labels)
        self.machine.accelerator.backward(loss)
        if self.pace.clip is not None:
            self.machine.accelerator.clip_grad_norm_(self.lesson.learner.parameters(), self.pace.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        return loss.detach(), correct.detach()

    def _look(self) -> None:
        """Take the losses of the last steps off the device; one that is not finite stops the training.

        They are those of all processes, which therefore look after the same steps: any of them could go on from what
        the first one saves, and all stop at the same loss.
        """
        if not self.pending:
            return
        own = torch.stack([torch.stack([loss.float(), correct.float()]) for loss, correct in self.pending])
        found = self.machine.mean_of_processes(own).tolist()
        first = self.course.step - len(self.pending) + 1
        self.pending.clear()
        for step, (loss, correct) in enumerate(found, start=first):
            if not math.isfinite(loss):
                advice = "lower train.optimiser.lr or set train.clip"
                raise BadData(f"{self.lesson.name}: the loss is {loss} at step {step}: {advice}")
            self.course.loss += loss
            self.course.correct += correct
            self.course.counted += 1

    def _clock(self, begun: float) -> float:
        now = time.perf_counter()
        self.course.seconds += now - begun
        return now

    def _evaluate(self, shown: Progress) -> None:
        lesson, course, row = self.lesson, self.course, self._figures()
        lesson.learner.eval()
        if self.average is None:
            self._judge(row)
        else:
            with self.average.applied():
                self._judge(row)
        if per_evaluation(lesson.schedule) and "val_loss" in row:
            lesson.schedule.step(row["val_loss"])
        course.history.append(row)
        course.loss, course.correct, course.counted = 0.0, 0.0, 0
        lesson.learned(row)
        shown.note(", ".join(f"{name} {row[name]:.4g}" for name in ("train_loss", self.pace.watch) if name in row))

    def _figures(self) -> dict[str, Any]:
        """The row of this epoch as far as training fills it."""
        course = self.course
        before = course.history[-1]["seconds"] if course.history else 0.0
        return {
            "epoch": len(course.history) + 1,
            "step": course.step,
            "seconds": course.seconds,
            "images_per_s": course.counted * self.images_per_step / max(course.seconds - before, 1e-9),
            "lr": max(group["lr"] for group in self.optimiser.param_groups),
            "train_loss": course.loss / max(course.counted, 1),
            "train_accuracy": course.correct / max(course.counted, 1),
        }

    def _judge(self, row: dict[str, Any]) -> None:
        """Evaluate, and keep the weights when they are the best so far, or always where the last are wanted."""
        course, pace = self.course, self.pace
        self.machine.take_buffers_of_the_first(self.lesson.learner)  # the weights that are kept are its
        row |= self.lesson.evaluate()
        value = row.get(pace.watch)
        known = value if value is not None and math.isfinite(value) else None
        if pace.to_keep(known, course.best):
            course.best = known
            course.best_epoch, course.waited = row["epoch"], 0
            if self.machine.is_main:
                self.lesson.keep()
        else:
            course.waited += 1

    def save(self) -> None:
        """Write a checkpoint, and note when that was done and how long it took."""
        begun = time.monotonic()
        if self.machine.is_main:
            self._write()
        self.saved = time.monotonic()
        self.saving = self.saved - begun

    def _write(self) -> None:
        told = {"key": self.key, "course": asdict(self.course)}
        if self.course.over(self.pace):  # nothing goes on from here: weights and moments would be written for nobody
            save_checkpoint(self.checkpoint, told)
            return
        scaler = self.machine.accelerator.scaler
        save_checkpoint(self.checkpoint, told | {
            "learner": self.lesson.learner.state_dict(),
            "optimiser": self.lesson.optimiser.state_dict(),
            "schedule": self.lesson.schedule.state_dict(),
            "average": self.average.weights if self.average else None,
            "scaler": scaler.state_dict() if scaler is not None else None,
        })  # fmt: skip

    def resume(self) -> None:
        """Go on from a checkpoint of the same key; one of another is removed, for the weights kept are not its any more
        as soon as this training keeps some."""
        state = load_checkpoint(self.checkpoint)
        self.machine.wait()  # every process has looked
        if state is None or state["key"] != self.key or "learner" not in state:
            if self.machine.is_main:
                self.checkpoint.unlink(missing_ok=True)
            return
        self.course = Course(**state["course"])
        self.lesson.learner.load_state_dict(state["learner"])
        self.lesson.optimiser.load_state_dict(state["optimiser"])
        self.lesson.schedule.load_state_dict(state["schedule"])
        if self.average is not None and state["average"] is not None:
            self.average.load(state["average"])
        if state["scaler"] is not None:
            self.machine.accelerator.scaler.load_state_dict(state["scaler"])
