"""How near training comes to the machine's limit, and how far from the loop that one would write by hand.

    python bench/training.py [--models resnet18 googlenet] [--rounds 5] [--steps 2] [--data FOLDER] [--json FILE]

For each model, in turn within every round: a bare loop on synthetic tensors (the ceiling), our loop on the uint8 cache
with augmentation, and torchvision's ImageFolder + DataLoader with the default layout and optimiser; on JPEG files of
the model's size and on large originals. Then the `head` regime over ten epochs against the naive frozen loop. Prints
medians and ratios. Without --data it makes its own JPEG files. Each side lives in a process of its own: the ceiling and
ours with our settings (allocator, denormals), the loop by hand with PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from PIL import Image
from torch import nn
from torchvision import datasets, transforms

from bench.turns import Step, apart
from secondread.core.registry import resolve
from secondread.core.spec import ref
from secondread.images.batches import Batches, Sampler, Stack
from secondread.images.cache import CacheItem, build_cache
from secondread.images.decode import PixelSpec
from secondread.learning.devices import Machine, machine, multiplies_bf16
from secondread.learning.lesson import Lesson, Pace, step_seed
from secondread.learning.loop import Training
from secondread.learning.optimisers import adamw
from secondread.learning.schedules import constant
from secondread.models.build import build_classifier
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec
from secondread.planning.pace import bare_step
from secondread.train.features import Front, features_of
from secondread.train.loss_types import LossSpec
from secondread.train.objective import Objective

MEAN, STD = (0.5,), (0.25,)


def main() -> None:
    asked = arguments()
    place = machine()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        small = asked.data or make_images(Path(scratch) / "small", asked.images, (asked.size, asked.size))
        large = asked.originals or make_images(Path(scratch) / "large", asked.images // 2, (1400, 1100))
        for model in asked.models:
            for kind, folder in (("files", small), ("originals", large)):
                if kind == "originals" and model != asked.models[0]:
                    continue
                sides = sides_of(model, folder, asked, Path(scratch))
                results.append({"model": model, "data": kind} | compared(sides, asked))
                print(line(results[-1]), flush=True)
        if asked.head:
            results.append(head_regime(asked.models[0], small, asked, place, Path(scratch)))
            print(line(results[-1]), flush=True)
    if asked.json:
        asked.json.write_text(json.dumps(results, indent=1) + "\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["resnet18", "googlenet", "efficientnet_b0"])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="optimiser steps of each side in each round")
    parser.add_argument("--images", type=int, default=256, help="JPEG files to make")
    parser.add_argument("--workers", type=int, default=0, help="of the DataLoader; 0 is fastest on two cores")
    parser.add_argument("--data", type=Path, help="a folder of class folders instead of made files")
    parser.add_argument("--originals", type=Path, help="a folder of class folders of large files")
    parser.add_argument("--no-head", dest="head", action="store_false", help="leave the head regime out")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def sides_of(model: str, folder: Path, asked: argparse.Namespace, scratch: Path) -> dict[str, Callable[[], Step]]:
    """What builds each side: a function that does one optimiser step. By hand in bfloat16 too, where that is ours."""
    sides = {
        "ceiling": partial(ceiling, model, asked),
        "ours": partial(ours, model, folder, asked, scratch),
        "imagefolder": partial(by_hand, model, folder, asked, on_gpu()),
    }
    return sides | ({} if on_gpu() or not multiplies_bf16() else {
        "imagefolder bf16": partial(by_hand, model, folder, asked, True)})  # fmt: skip


def network(model: str, asked: argparse.Namespace) -> Classifier:
    spec = ModelSpec(2, 1, asked.size, "binary")
    return build_classifier(ref(model), spec, mean=MEAN, std=STD, seed=0)


def ceiling(model: str, asked: argparse.Namespace) -> Step:
    """The step that `secondread plan` measures: one batch of tensors in our layout with our optimiser, nothing else."""
    learnt = bare_step(model, asked.size, asked.batch, 2)

    def step() -> None:
        loss = learnt()
        if not on_gpu():
            loss.item()

    return step


def ours(model: str, folder: Path, asked: argparse.Namespace, scratch: Path) -> Step:
    """The product's own loop: uint8 cache, augmentation on the batch, clipping, a look at every loss."""
    place, classifier = machine(), network(model, asked)
    batches = cached_batches(folder, asked, place, scratch)
    loss = resolve("losses", ref("cross_entropy"))(LossSpec("binary", (1.0, 1.0), (2.0, 2.0)))
    objective = Objective(classifier, loss, classifier.train_logits, 2)
    augment = resolve("augment", ref("affine"))()
    optimiser = adamw(classifier.parameters(), lr=1e-4)

    def supply(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        batch = batches(step)
        generator = torch.Generator().manual_seed(step_seed(0, step))
        return augment(batch.inputs.float(), batch.labels, generator)  # type: ignore[no-any-return]

    lesson = Lesson("bench", objective, supply, optimiser, constant(optimiser, 1), dict, lambda: None)
    pace = Pace(10**9, 10**9, seed=0, clip=1.0)
    training = Training(lesson, pace, place, scratch / "checkpoint", "bench")
    objective.train()
    return training.one_step


def cached_batches(folder: Path, asked: argparse.Namespace, place: Machine, scratch: Path) -> Batches:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    items = [CacheItem(str(path.relative_to(folder)), path, -1, str(path)) for path in files]
    cache = build_cache(items, PixelSpec(asked.size), scratch / "cache")
    kinds = sorted({path.parent.name for path in files})
    labels = np.eye(2, dtype=np.float32)[[kinds.index(path.parent.name) % 2 for path in files]]
    sampler = Sampler(np.ones(len(files), np.int64), np.ones(len(files)), asked.batch, seed=0)
    return Batches(Stack([cache.pixels]), np.arange(len(files)), labels, sampler, place.device)


def on_gpu() -> bool:
    return torch.cuda.is_available()


def by_hand(model: str, folder: Path, asked: argparse.Namespace, bf16: bool) -> Step:
    """ImageFolder, a DataLoader, torchvision's transforms, Adam, the default memory layout and allocator."""
    place, classifier = Accelerator(cpu=not on_gpu(), mixed_precision="bf16" if bf16 else "no"), network(model, asked)
    prepared = transforms.Compose([
        transforms.Grayscale(),
        transforms.Resize((asked.size, asked.size)),
        transforms.RandomAffine(10, translate=(0.1, 0.1), scale=(0.9, 1.1)),
        transforms.ToTensor(),
    ])  # fmt: skip
    loader = torch.utils.data.DataLoader(
        datasets.ImageFolder(str(folder), prepared), asked.batch, shuffle=True, drop_last=True,
        num_workers=asked.workers, persistent_workers=asked.workers > 0, pin_memory=on_gpu(),
    )  # fmt: skip
    classifier.to(place.device).train()
    optimiser = torch.optim.Adam(classifier.parameters(), lr=1e-4)
    stream = endless(loader)

    def step() -> None:
        images, labels = next(stream)
        images, labels = images.to(place.device) * 255, labels.to(place.device) % 2
        optimiser.zero_grad()
        with place.autocast():
            loss = nn.functional.cross_entropy(classifier(images).float(), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
        optimiser.step()
        loss.item()

    return step


def endless(loader: Any) -> Iterator[Any]:
    while True:
        yield from loader


def compared(makers: dict[str, Callable[[], Step]], asked: argparse.Namespace) -> dict[str, Any]:
    """Median images/s of each side over interleaved rounds, and our ratios to the others (medians of the rounds')."""
    rates: dict[str, list[float]] = {name: [] for name in makers}
    names = list(makers)
    with apart(makers) as sides:
        for timed in sides.values():
            timed(5 if on_gpu() else 1)  # a graph is recorded at the fourth step
        for turn in range(asked.rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:  # nobody always comes first
                rates[name].append(asked.steps * asked.batch / sides[name](asked.steps))
    told: dict[str, Any] = {name: round(statistics.median(found), 2) for name, found in rates.items()}
    for other in (name for name in names if name != "ours"):
        each = [mine / theirs for mine, theirs in zip(rates["ours"], rates[other], strict=True)]
        told[f"ours / {other}"] = round(statistics.median(each), 3)
    return told


def head_regime(
    model: str, folder: Path, asked: argparse.Namespace, place: Machine, scratch: Path, epochs: int = 10
) -> dict[str, Any]:
    """Ten epochs of a head: features once and then the head, against all images through the network every epoch."""
    batches = cached_batches(folder, asked, place, scratch)
    steps = len(batches.places) // asked.batch
    naive, mine = network(model, asked).to(place.device), network(model, asked).to(place.device)
    started = time.perf_counter()
    naive.freeze()
    optimiser = torch.optim.Adam(naive.backbone.dense.parameters(), lr=1e-3)
    for step in range(steps):  # one epoch stands for each of the ten: they are alike
        batch = batches(step)
        loss = nn.functional.cross_entropy(naive(batch.inputs), batch.labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    one_epoch = time.perf_counter() - started
    started = time.perf_counter()
    mine.to(memory_format=torch.channels_last).eval().freeze()  # type: ignore[call-overload, func-returns-value]
    made = features_of(
        Front(mine.features, None, 0), batches.stack, batches.places, batches.places[:0], 1, place, scratch
    )
    optimiser = adamw(mine.backbone.dense.parameters(), lr=1e-3)
    labels = batches.labels.numpy()
    with Batches(made.stack, np.arange(made.rows), labels, batches.sampler, place.device) as features:
        for step in range(steps * epochs):
            batch = features(step)
            loss = nn.functional.cross_entropy(mine.logits_from_features(batch.inputs), batch.labels)
            loss.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
    taken = time.perf_counter() - started
    return {"model": model, "data": "head regime, ten epochs", "naive seconds": round(one_epoch * epochs, 2),
            "ours seconds": round(taken, 2), "naive / ours": round(one_epoch * epochs / taken, 2)}  # fmt: skip


def make_images(folder: Path, count: int, size: tuple[int, int]) -> Path:
    """Smooth random grey JPEGs in two class folders."""
    chance = np.random.default_rng(0)
    for k in range(count):
        coarse = Image.fromarray(chance.integers(0, 256, (12, 12)).astype(np.uint8))
        path = folder / ("negative", "positive")[k % 2] / f"{k:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse.resize(size, Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def line(result: dict[str, Any]) -> str:
    return "  ".join(f"{name} {value}" for name, value in result.items())


if __name__ == "__main__":
    main()
