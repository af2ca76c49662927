"""`secondread bench`: native PyTorch against the bundle, on the same inputs, warm, in turns, in one run.

Also writes export/<arm>/<model>/bench.json for the report where the bundle lies in a study.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from secondread.core.errors import WrongRequest
from secondread.core.files import write_json
from secondread.core.processors import threads_of
from secondread.core.progress import say
from secondread.core.studydir import StudyDir
from secondread.core.tables import read_table
from secondread.export.coldstart import ColdStart, cold_start_of_bundle, cold_start_of_trial
from secondread.export.engines import Timed, bundle_engine, native_engines, take_turns
from secondread.images.cache import open_for
from secondread.models.build import load_trial
from secondread.models.bundle import Bundle
from secondread.models.bundle.container import MEASURED, int8_beside
from secondread.models.bundle.engines import Engine, installed
from secondread.models.bundle.writing import reference_images
from secondread.models.classifier import Classifier

COLUMNS = ["bundle", "engine", "precision", "batch", "threads", "p50_ms", "p95_ms", "images_per_s", "max_abs_dlogit",
           "flips", "ratio_to_native", "peak_mb", "cold_start_s"]  # fmt: skip
BATCHES = (1, 8, 32)
AGREEMENT_IMAGES = 128
MOST_SECONDS = 60.0
OTHER: Engine = "openvino"


@dataclass(frozen=True)
class _Subject:
    """One bundle, its int8 twin where there is one, the checkpoints it came from, and images to run."""

    folder: Path
    """Resolved."""
    bundles: list[Bundle]
    others: list[Bundle]
    """The same, run by OpenVINO, where that is installed."""
    members: list[Classifier]
    trials: list[Path]
    images: NDArray[np.uint8]
    on_validation: bool

    @property
    def engines(self) -> list[Timed]:
        native = native_engines(self.members) if self.members else []
        return [*native, *map(bundle_engine, self.bundles), *(bundle_engine(one, OTHER) for one in self.others)]


def bench(
    bundles: Sequence[Path], study: Path | None = None, repeats: int = 20, batches: Sequence[int] = BATCHES,
    threads: int | None = None, cold: bool = True,
) -> pd.DataFrame:  # fmt: skip
    """One row per bundle, engine and batch size, in the columns `COLUMNS`; times are those of one call.

    `study`: where the checkpoints lie, when the bundle was moved out of its study. `max_abs_dlogit` and `flips` compare
    with native eager on up to 128 validation images (on drawn images without a study); `ratio_to_native`: median
    seconds of native eager over those of the engine at the same batch. Without checkpoints only the bundle is timed.
    `attrs["left"]` of the table: the files that the next report of the study draws.
    """
    threads = threads_of(threads)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        rows: list[dict[str, Any]] = []
        left: list[Path] = []
        for folder in bundles:
            subject = _subject(Path(folder).resolve(), study, threads)
            own = _rows(subject, repeats, batches, threads, _cold_starts(subject, threads) if cold else {})
            left += _leave_for_report(subject, own)
            rows += own
    finally:
        torch.set_num_threads(before)
    table = pd.DataFrame(rows, columns=COLUMNS)
    table.attrs["left"] = left
    return table


def _subject(folder: Path, study: Path | None, threads: int) -> _Subject:
    opened = [Bundle.open(folder, threads)]
    twin = int8_beside(folder)
    folders = [folder, *([twin] if opened[0].card.precision == "fp32" and twin.is_dir() else [])]
    opened += [Bundle.open(one, threads) for one in folders[1:]]
    others = [Bundle.open(one, threads, OTHER) for one in folders] if installed(OTHER) else []
    root = study or (folder.parents[2] if len(folder.parents) > 2 else None)
    if study is not None and not (study / "train").is_dir():
        raise WrongRequest(f"bench: {study} is no study directory with trained trials")
    card = opened[0].card
    trials = [root / "train" / name for name in card.members] if root else []
    there = bool(trials) and all((trial / "best.safetensors").exists() for trial in trials)
    if not there:
        say(f"bench: no checkpoints of {card.name} found (name their study with --study): only the bundle is timed")
        return _Subject(folder, opened, others, [], [], _drawn(card.channels, card.size), False)
    images = _validation_images(StudyDir(root), card.members[0], card.size, card.fit) if root else None
    given = _drawn(card.channels, card.size) if images is None else images
    return _Subject(folder, opened, others, [load_trial(t)[0] for t in trials], trials, given, images is not None)


def _drawn(channels: int, size: int) -> NDArray[np.uint8]:
    return reference_images(channels, size, 32)


def _validation_images(where: StudyDir, trial: str, size: int, fit: Any) -> NDArray[np.uint8] | None:
    """Up to 128 validation images of the trial; None when the study no longer has them."""
    if not (where.predictions(trial).exists() and where.pixels.exists()):
        return None
    predicted = read_table(where.predictions(trial))
    ids = list(predicted.loc[predicted["split"] == "val", "row_id"].drop_duplicates())[:AGREEMENT_IMAGES]
    if not ids:
        return None
    pixels = open_for(where, size, fit).take(ids)
    return pixels[:, None] if pixels.ndim == 3 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def _rows(
    subject: _Subject, repeats: int, batches: Sequence[int], threads: int, starts: dict[str, ColdStart]
) -> list[dict[str, Any]]:
    engines = subject.engines
    logits = [_in_batches(engine, subject.images) for engine in engines]
    rows = []
    for batch in batches:
        images = _of_size(subject.images, batch)
        times = take_turns([partial(engine.run, images) for engine in engines], repeats, MOST_SECONDS)
        for engine, own, seconds in zip(engines, logits, times, strict=True):
            start = starts.get(f"{engine.engine} {engine.precision}")
            native = float(np.median(times[0])) / float(np.median(seconds)) if subject.members else math.nan
            rows.append({
                "bundle": subject.bundles[0].card.name, "engine": engine.engine, "precision": engine.precision,
                "batch": batch, "threads": threads, "p50_ms": 1e3 * float(np.median(seconds)),
                "p95_ms": 1e3 * float(np.percentile(seconds, 95)),
                "images_per_s": batch / float(np.median(seconds)),
                "max_abs_dlogit": _difference(own, logits[0], subject), "flips": _flips(own, logits[0], subject),
                "ratio_to_native": native, "peak_mb": start.peak_mb if start else math.nan,
                "cold_start_s": start.seconds if start else math.nan,
            })  # fmt: skip
    return rows


def _in_batches(engine: Timed, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.concatenate([engine.run(images[at : at + 32]) for at in range(0, len(images), 32)])


def _of_size(images: NDArray[np.uint8], batch: int) -> NDArray[np.uint8]:
    return np.ascontiguousarray(images[np.arange(batch) % len(images)])


def _difference(own: NDArray[np.float32], native: NDArray[np.float32], subject: _Subject) -> float:
    return float(np.abs(own - native).max()) if subject.members else math.nan


def _flips(own: NDArray[np.float32], native: NDArray[np.float32], subject: _Subject) -> float:
    """Decisions, at the bundle's thresholds, that differ from those of native eager."""
    if not subject.members:
        return math.nan
    a, b = (_decisions(subject.bundles[0], logits) for logits in (own, native))
    return float(sum(one != other for one, other in zip(a, b, strict=True)))


def _decisions(bundle: Bundle, logits: NDArray[np.float32]) -> list[str | list[str]]:
    from secondread.models.bundle.judge import decide

    chances = calibrated(bundle, logits)
    names = bundle.card.classes
    return [decide(bundle.card, dict(zip(names, map(float, row), strict=True))) for row in chances]


def calibrated(bundle: Bundle, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """The probabilities [N,K] that the bundle's calibration gives for logits [N,K] of any engine."""
    from secondread.metrics.calibration import OperatingPoint

    card = bundle.card
    told, k = card.calibration, len(card.classes)
    point = OperatingPoint(
        card.task, tuple(card.classes), tuple(told.get("prior_correction", [0.0] * k)), told.get("temperature", 1.0),
        tuple((slope, bias) for slope, bias in told.get("platt", [])), tuple(card.thresholds[n] for n in card.classes),
        tuple((low, high) for low, high in (card.uncertain[n] for n in card.classes)),
    )  # fmt: skip
    return np.asarray(point.probabilities(logits))


def _cold_starts(subject: _Subject, threads: int) -> dict[str, ColdStart]:
    """By engine and precision. Several members load one after the other, so only one is started here."""
    starts = {}
    if subject.trials:
        starts["native eager fp32"] = cold_start_of_trial(subject.trials[0], threads)
    folders = [subject.folder, int8_beside(subject.folder)]
    for bundle, folder in zip(subject.bundles, folders, strict=False):
        starts[f"onnxruntime {bundle.card.precision}"] = cold_start_of_bundle(folder, threads)
    return starts


def _leave_for_report(subject: _Subject, rows: list[dict[str, Any]]) -> list[Path]:
    """In the folder of the bundle, where it is no part of it; a zip beside it says nothing that the folder does not."""
    folder = subject.folder
    if not (subject.members and folder.is_dir() and folder.parent.parent.name == "export"):
        return []
    write_measurements(folder / MEASURED, pd.DataFrame(rows, columns=COLUMNS))
    return [folder / MEASURED]


def write_measurements(path: Path, table: pd.DataFrame) -> None:
    """The rows as JSON; what was not measured is null, since JSON knows no NaN."""
    told = table.to_dict("records")
    plain = [{k: None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()} for row in told]
    write_json(path, plain)
