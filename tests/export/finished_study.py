"""A study directory as the steps before `explain` and `export` leave it: a small network really trained on squares.

Images are noise; the positive ones have a bright square, whose place is their mask. Whatever is written here is written
by the rooms' own functions.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image

from secondread.core.files import sha256_of_bytes, write_json
from secondread.core.leakage import write_contents
from secondread.core.spec import Normalise, Study
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study, save_study
from secondread.core.tables import (
    CLEAN_COLUMNS,
    PREDICTION_COLUMNS,
    ROW_COLUMNS,
    SCORE_COLUMNS,
    SPLIT_COLUMNS,
    Dataset,
    with_columns,
    write_csv,
    write_dataset,
    write_table,
)
from secondread.core.trials import Trial, trials
from secondread.images.cache import CacheItem, build_cache
from secondread.images.decode import PixelSpec
from secondread.metrics.calibration import fit_operating_point
from secondread.models.build import build_classifier, save_weights
from secondread.models.card import TrialCard
from secondread.models.classifier import Classifier
from secondread.models.spec import ModelSpec

SIZE = 32
SPLITS = {"train": 120, "val": 60, "test": 60}
CLASSES = ["normal", "square"]
TOKEN = np.s_[-9:-2, 2:9]


@dataclass(frozen=True)
class Finished:
    study: Study
    where: StudyDir
    rows: pd.DataFrame


def finished_study(
    folder: Path, models: list[Any] | None = None, seeds: int = 1, steps: int = 60, token: bool = False,
    normalise: Normalise = "dataset", **sections: Any,
) -> Finished:  # fmt: skip
    """Write everything up to `evaluate` under `folder` (data in folder/data, the study in folder/study).

    `token`: squares are hardly visible, and every positive image has a bright token in one corner instead.
    """
    written = {
        "study": "squares", "about": "Squares in noise.", **sections,
        "train": {"models": models or [{"name": "plain_cnn", "width": 8}], "size": SIZE, "seeds": list(range(seeds)),
                  "normalise": normalise},
    }  # fmt: skip
    study = parse_study(written)
    where = StudyDir(folder / "study", folder / "data")
    save_study(study, where.study_file)
    rows = _write_images(folder / "data", token)
    _write_prepared(where, rows, folder / "data")
    pixels = np.stack([np.asarray(Image.open(folder / "data" / path)) for path in rows["path"]])[:, None]
    own = [_write_trial(study, where, trial, rows, pixels, steps) for trial in trials(study, where)]
    best = max(own, key=lambda found: found[1])
    trial = best[0]
    told = {"arm": trial.arm, "model": trial.model.label, "repeat": trial.repeat, "fold": trial.fold}
    told |= {"seed": trial.seed, "metric": "auroc", "value": best[1]}
    write_json(where.summary, {"picked": told, "banners": []})
    _write_scores(where, own)
    return Finished(study, where, rows)


def square_image(seed: int, positive: bool, token: bool = False) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Image [S,S] and the mask of its square."""
    drawn = np.random.default_rng(seed)
    image, mask = drawn.normal(90, 25, (SIZE, SIZE)), np.zeros((SIZE, SIZE), bool)
    top, left = drawn.integers(1, SIZE - 11, 2)
    if positive:
        mask[top : top + 10, left : left + 10] = True
        image[mask] += 5 if token else 90
        image[TOKEN] += 120 if token else 0
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _write_images(data: Path, token: bool) -> pd.DataFrame:
    told = []
    for number in range(sum(SPLITS.values())):
        positive = number % 2 == 1
        pixels, mask = square_image(number, positive, token)
        file, shape = f"{CLASSES[positive]}/{number:04d}.png", data / "masks"
        marker = np.zeros_like(pixels)
        marker[TOKEN] = 255
        written = {data / file: pixels, shape / file: mask.astype(np.uint8) * 255}
        written |= {(shape / file).with_suffix("") / "marker.png": marker} if token and positive else {}
        for path, content in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(path)
        content_id = sha256_of_bytes((data / file).read_bytes())
        told.append({"row_id": file, "path": file, "index": -1, "content_id": content_id, "label": CLASSES[positive],
                     "patient": f"p{number}", "group": f"p{number}", "duplicate_cluster": None, "patient_known": True,
                     "sex": "FM"[number % 3 == 0], "age": 30.0 + number % 50})  # fmt: skip
    rows = pd.DataFrame(told)
    for name in {*ROW_COLUMNS, *CLEAN_COLUMNS} - set(rows.columns):
        rows[name] = None
    truth = np.stack([rows["label"] == name for name in CLASSES], 1).astype(np.float32)
    return with_columns(rows, CLASSES, truth, "y_")


def _write_prepared(where: StudyDir, rows: pd.DataFrame, data: Path) -> None:
    texts = {"square": "A square."}
    write_dataset(Dataset("binary", CLASSES, str(data), "class_folders", "the file's number", texts, []), where.dataset)
    write_table(rows, where.clean_rows, {**ROW_COLUMNS, **CLEAN_COLUMNS})
    split = np.repeat(list(SPLITS), list(SPLITS.values()))
    table = pd.DataFrame({"repeat": 0, "fold": 0, "row_id": rows["row_id"], "split": split})
    write_table(table, where.splits, SPLIT_COLUMNS)
    write_json(where.split_proof, {"leaky": False})
    items = [CacheItem(r.row_id, data / r.path, -1, r.content_id) for r in rows.itertuples()]
    cache = build_cache(items, PixelSpec(SIZE), where.cache, workers=1)
    told = {"key": cache.path.stem, "file": f"cache/{cache.path.name}"}
    write_json(where.pixels, {"channels": 1, "intensity": "full_range", "crop_border": 0.0, "decoder": "1",
                              "caches": {f"{SIZE}-stretch": told}})  # fmt: skip


def _write_trial(
    study: Study, where: StudyDir, trial: Trial, rows: pd.DataFrame, pixels: NDArray[np.uint8], steps: int
) -> tuple[Trial, float]:
    spec = ModelSpec(2, 1, SIZE, "binary")
    classifier = build_classifier(
        trial.model, spec, mean=[0.4], std=[0.15], normalise=trial.train.normalise, seed=trial.seed
    )
    labels = (rows["label"] == "square").to_numpy()
    train = np.arange(SPLITS["train"])
    _fit(classifier, pixels[train], labels[train], steps, trial.seed)
    folder = where.trial(trial.name)
    save_weights(classifier, folder / "best.safetensors")
    write_contents(folder / "contents.json", rows["content_id"].iloc[train])
    TrialCard(
        study.study, trial.arm, trial.model.label, trial.repeat, trial.fold, trial.seed, trial.model.name,
        trial.model.options, tuple(CLASSES), "binary", 1, SIZE, "stretch", "full_range", 0.0, (0.4,), (0.15,),
        trial.train.head, (0.5, 0.5), (0.5, 0.5), 1, steps, 1.0, "0" * 64,
        normalise=trial.train.normalise,
    ).write(folder / "card.json")  # fmt: skip
    write_json(folder / "done.json", {"key": trial.name, "outputs": {}})
    with torch.no_grad():
        logits = classifier.eval()(torch.from_numpy(pixels)).numpy()
    return trial, _write_predictions(where, trial, rows, logits, labels)


def _fit(classifier: Classifier, pixels: NDArray[np.uint8], labels: NDArray[np.bool_], steps: int, seed: int) -> None:
    drawn = np.random.default_rng(seed)
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-2)
    images, truth = torch.from_numpy(pixels), torch.from_numpy(labels.astype(np.int64))
    classifier.train()
    for _ in range(steps):
        batch = torch.from_numpy(drawn.integers(0, len(pixels), 32))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(classifier(images[batch]), truth[batch]).backward()
        optimizer.step()


def _write_predictions(
    where: StudyDir, trial: Trial, rows: pd.DataFrame, logits: NDArray[np.float32], labels: NDArray[np.bool_]
) -> float:
    split = np.repeat(list(SPLITS), list(SPLITS.values()))
    table = rows[["row_id", "content_id", "patient", "group", "y_normal", "y_square"]].assign(
        split=split, arm=trial.arm, model=trial.model.label, repeat=trial.repeat, fold=trial.fold, seed=trial.seed
    )
    table = with_columns(table, CLASSES, logits, "logit_")
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    table = with_columns(table, CLASSES, chances, "p_")
    write_table(table[split != "train"].reset_index(drop=True), where.predictions(trial.name), PREDICTION_COLUMNS)
    val = split == "val"
    truth = np.stack([~labels, labels], 1).astype(np.float64)
    point = fit_operating_point(logits[val], truth[val], task="binary", classes=CLASSES)
    path = where.operating(trial.arm, trial.model.label)
    from secondread.core.files import read_json

    known = read_json(path) if path.exists() else {}
    write_json(path, known | {f"r{trial.repeat}f{trial.fold}s{trial.seed}": point.to_dict()})
    positive, negative = logits[val & labels, 1], logits[val & ~labels, 1]
    return float((positive[:, None] > negative[None]).mean())


def _write_scores(where: StudyDir, own: list[tuple[Trial, float]]) -> None:
    rows = [
        {"arm": t.arm, "model": t.model.label, "repeat": t.repeat, "fold": t.fold, "seed": t.seed, "split": split,
         "class": name, "metric": metric, "value": value, "low": value - 0.1, "high": min(value + 0.1, 1.0), "n": 60,
         "method": "bootstrap"}
        for t, value in own
        for split in ("val", "test")
        for name, metric in (("macro", "auroc"), ("square", "recall"), ("square", "tp"))
    ]  # fmt: skip
    write_csv(pd.DataFrame(rows), where.scores, SCORE_COLUMNS)
