"""Inference: native PyTorch against exported bundles, all ratios in one run.

    python bench/inference.py [--models resnet18 vgg16 …] [--threads 2] [--repeats 12] [--json FILE]

Networks are drawn at random and lived in for one batch; speed does not depend on what they learned. Engines take turns,
inputs are ready in memory, two rounds warm up, the best round counts (whatever else loads the machine only adds).
Peers: PyTorch eager (and channels_last, and bfloat16 where the processor multiplies it), a bare ONNX Runtime call.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from secondread.core.files import write_json
from secondread.core.provenance import environment
from secondread.core.spec import ref
from secondread.export.coldstart import cold_start_of_bundle
from secondread.export.engines import native_engines, take_turns
from secondread.export.graph import Calibrated, ReadingGraph
from secondread.export.quantise import quantised
from secondread.export.to_onnx import to_onnx
from secondread.images.decode import DECODER_VERSION
from secondread.models.build import build_classifier
from secondread.models.bundle import Bundle, BundleCard
from secondread.models.bundle.engines import session_of
from secondread.models.bundle.reading import read_images
from secondread.models.bundle.writing import reference_images, reference_npz, write_bundle
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec

SIZE, CLASSES = 224, ["normal", "finding"]
MODELS = (
    "resnet18",
    "resnet50",
    "densenet121",
    "resnet50v2",
    "vgg16",
    "vgg19",
    "alexnet",
    "googlenet",
    "efficientnet_b0",
)
INT8 = ("resnet18", "resnet50", "resnet50v2", "vgg16", "vgg19")
# (batch 1, batch 32): the least ratio of native eager's seconds to ours
GOALS = {"resnet18": (1.3, 1.4), "resnet50": (1.3, 1.4), "densenet121": (1.3, 1.4), "resnet50v2": (1.3, 1.4),
         "vgg16": (1.15, 1.15), "vgg19": (1.15, 1.15), "alexnet": (1.15, 1.15), "googlenet": (2.9, 2.9),
         "efficientnet_b0": (2.0, 4.0)}  # fmt: skip
GOAL_INT8, GOAL_HEATMAPS, GOAL_READ, GOAL_COLD = 2.5, 1.10, 1.15, 1.5
MOST_SECONDS = 90.0
Rows = list[dict[str, Any]]


def lived_in(name: str) -> Classifier:
    """The network with BatchNorm statistics of real-looking activity, so that no value is denormal or huge."""
    spec = ModelSpec(len(CLASSES), 1, SIZE, "binary")
    classifier = build_classifier(ref(name), spec, mean=[0.5], std=[0.25], seed=0)
    for module in classifier.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        classifier.train()(torch.from_numpy(pictures(8)))
    return classifier.eval()


def pictures(count: int) -> NDArray[np.uint8]:
    return reference_images(1, SIZE, count)


def bundle_of(classifier: Classifier, folder: Path, threads: int) -> bytes:
    """Write the classifier as a bundle; gives the model's bytes."""
    name = classifier.card.name
    graph = ReadingGraph([classifier], Calibrated("binary", [1.0, 1.0], [0.0, 0.0]), SIZE, 1)
    model = to_onnx(graph, SIZE, 1)
    card = BundleCard(
        f"bench/{name}", "bench", "plain", name, "binary", CLASSES, 1, SIZE, "stretch", "full_range", 0.0,
        dict.fromkeys(CLASSES, 0.5), {one: [0.0, 0.0] for one in CLASSES}, decoder=DECODER_VERSION,
        heatmaps="" if graph.no_heatmaps else "Grad-CAM", no_heatmaps=graph.no_heatmaps, no_gate="a bench",
    )  # fmt: skip
    session = session_of(model, threads)
    references = reference_images(1, SIZE)
    answers = session.run(["logits", "probabilities", "features"], {"image": references})
    write_bundle(folder, card, model, reference_npz(references, _Answers(*answers), None), f"# {name}\n")
    return model


class _Answers:
    def __init__(self, logits: Any, probabilities: Any, features: Any) -> None:
        self.logits, self.probabilities, self.features = logits, probabilities, features


def engines_of(classifier: Classifier, bundle: Bundle, model: bytes, threads: int, int8: bool) -> dict[str, Callable]:  # type: ignore[type-arg]
    native = {one.engine: one.run for one in native_engines([classifier])}
    made: dict[str, Callable] = {**native, "onnxruntime": bundle.run}  # type: ignore[type-arg]
    if bundle.has_heatmaps:
        made["onnxruntime + heatmaps"] = partial(bundle.run, heatmaps=True)
    if int8:
        session = session_of(quantised(model, pictures(32)), threads)
        made["onnxruntime int8"] = lambda images: session.run(["logits"], {"image": images})
    return made


def measure(name: str, threads: int, repeats: int, folder: Path) -> Rows:
    """Every ratio of one model, with the goal it is held against."""
    classifier = lived_in(name)
    model = bundle_of(classifier, folder / name, threads)
    bundle = Bundle.open(folder / name, threads)
    engines = engines_of(classifier, bundle, model, threads, name in INT8)
    rows: Rows = []
    for at, batch in enumerate((1, 32)):
        images = pictures(batch)
        seconds = take_turns([partial(run, images) for run in engines.values()], repeats, MOST_SECONDS)
        took = {engine: min(own) for engine, own in zip(engines, seconds, strict=True)}
        eager = took["native eager"]
        for engine, own in took.items():
            goal = {"onnxruntime": GOALS[name][at], "onnxruntime int8": GOAL_INT8}.get(engine)
            rows.append(row(name, engine, batch, own, eager / own, "× native eager", goal))
        if "onnxruntime + heatmaps" in took:
            cost = took["onnxruntime + heatmaps"] / took["onnxruntime"]
            rows.append(row(name, "heatmaps", batch, took["onnxruntime + heatmaps"], cost, "× without", -GOAL_HEATMAPS))
    return rows


def row(model: str, what: str, batch: int, seconds: float, ratio: float, of: str, goal: float | None) -> dict[str, Any]:
    """`goal`: at least; negative: at most its absolute value."""
    met = None if goal is None else (ratio >= goal if goal > 0 else ratio <= -goal)
    return {"model": model, "what": what, "batch": batch, "ms": 1e3 * seconds, "ratio": ratio, "of": of,
            "goal": goal, "met": met}  # fmt: skip


def measure_read(name: str, threads: int, repeats: int, folder: Path) -> Rows:
    """`read` over files against decoding them plus a bare call of the runtime; cold start of both sides."""
    bundle = Bundle.open(folder / name, threads)
    files = []
    for number, pixels in enumerate(reference_images(1, 640, 8)[:, 0]):
        files.append(folder / f"{number}.png")
        Image.fromarray(pixels).save(files[-1])

    def bare() -> None:
        pixels = np.stack([bundle.prepare(bundle.decode(file)) for file in files])
        bundle.session.run(["probabilities"], {"image": pixels})

    seconds = take_turns([bare, lambda: list(read_images(bundle, files))], repeats, MOST_SECONDS)
    plain, read = (min(own) for own in seconds)
    rows = [row(name, "read of 8 files", 8, read, read / plain, "× decoding and a bare call", -GOAL_READ)]
    start = min((cold_start_of_bundle(folder / name, threads) for _ in range(3)), key=lambda one: one.seconds)
    rows.append(row(name, "cold start, one image", 1, start.seconds, start.seconds, "seconds", -GOAL_COLD))
    rows.append(row(name, "peak memory", 1, float("nan"), start.peak_mb, "MB", None))
    return rows


def shown(rows: Rows) -> str:
    lines = [f"{'model':<16} {'what':<24} {'batch':>5} {'ms':>9} {'ratio':>7}  of"]
    for one in rows:
        goal = "" if one["goal"] is None else f"  {'≥' if one['goal'] > 0 else '≤'} {abs(one['goal']):g} "
        met = "" if one["met"] is None else ("met" if one["met"] else "MISSED")
        lines.append(f"{one['model']:<16} {one['what']:<24} {one['batch']:>5} {one['ms']:>9.1f} {one['ratio']:>7.2f}  "
                     f"{one['of']}{goal}{met}")  # fmt: skip
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args(arguments)
    torch.set_num_threads(wanted.threads)
    began, rows = time.time(), []
    with tempfile.TemporaryDirectory() as folder:
        for name in wanted.models:
            print(f"{name} …", file=sys.stderr, flush=True)
            rows += measure(name, wanted.threads, wanted.repeats, Path(folder))
        rows += measure_read(wanted.models[0], wanted.threads, wanted.repeats, Path(folder))
    print(shown(rows))
    print(f"{environment()['processor']}, {wanted.threads} threads, {time.time() - began:.0f} s")
    if wanted.json:
        write_json(wanted.json, json.loads(json.dumps({"environment": environment(), "rows": rows}, default=float)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
