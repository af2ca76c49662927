"""A small study directory made of arrays: what gather, prepare and balance would have left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from secondread.core.files import write_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import save_study
from secondread.core.tables import (
    CLEAN_COLUMNS,
    ROW_COLUMNS,
    SPLIT_COLUMNS,
    Dataset,
    Task,
    write_dataset,
    write_table,
)

SIDE = 24
EMPTY = dict.fromkeys((*ROW_COLUMNS, *CLEAN_COLUMNS))


def small_study(root: Path, train: dict[str, Any], arms: dict[str, Any] | None = None, **sections: Any) -> Study:
    settings = {
        "models": [{"name": "plain_cnn", "width": 4}],
        "size": SIDE,
        "batch": 8,
        "epochs": 2,
        "early_stop": None,
    }
    written = {"study": "small", "train": settings | train, "arms": arms or {"plain": {}}} | sections
    study = Study.model_validate(written)
    save_study(study, StudyDir(root).study_file)
    return study


def small_directory(
    root: Path, task: Task = "binary", count: int = 72, classes: int = 2, channels: int = 1, seed: int = 0
) -> StudyDir:
    """Images whose class is a bright square's place; two images per patient; a third each of val and test rows."""
    where = StudyDir(root)
    labels = drawn_labels(task, count, classes, seed)
    names = [f"p{k // 2:03d}/{k:03d}.png" for k in range(count)]
    for k, name in enumerate(names):
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(labels[k], channels, seed + k)).save(path)
    rows = pd.DataFrame({"row_id": names, "path": names, "content_id": [f"{seed}-{name}" for name in names]}).assign(
        index=-1, label="x", patient=[name[:4] for name in names], patient_known=True, age=np.nan,
        group=[name[:4] for name in names],
    )  # fmt: skip
    for column in EMPTY:
        if column not in rows:
            rows[column] = None
    named = [f"c{k}" for k in range(classes)]
    for k, name in enumerate(named):
        rows[f"y_{name}"] = labels[:, k]
    write_table(rows, where.clean_rows, ROW_COLUMNS | CLEAN_COLUMNS)
    third = np.arange(count) // 2 % 3
    split = pd.DataFrame({"row_id": names, "split": np.asarray(["train", "val", "test"])[third]})
    write_table(split.assign(repeat=0, fold=0), where.splits, SPLIT_COLUMNS)
    write_dataset(Dataset(task, named, str(root / "images"), "test", "folder", {}, []), where.dataset)
    told = {"channels": channels, "intensity": "full_range", "crop_border": 0.0, "decoder": "1", "caches": {}}
    write_json(where.pixels, told)
    return where


def drawn_labels(task: Task, count: int, classes: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    if task == "multilabel":
        return (chance.random((count, classes)) < 0.4).astype(np.float32)
    return np.eye(classes, dtype=np.float32)[chance.permutation(count) % classes]


def picture(labels: np.ndarray, channels: int, seed: int) -> np.ndarray:
    chance = np.random.default_rng(seed)
    image = chance.integers(0, 120, (SIDE, SIDE)).astype(np.uint8)
    for k in np.flatnonzero(labels == 1):
        image[4 + 8 * (k % 2) : 10 + 8 * (k % 2), 2 + 7 * k : 8 + 7 * k] += 120
    return image if channels == 1 else np.stack([image, image // 2, 255 - image], axis=-1)


def plan_and_train(study: Study, where: StudyDir) -> None:
    from secondread.balance import run as balance
    from secondread.train import run as train

    balance.run(study, where)
    train.run(study, where)


def predict(study: Study, where: StudyDir) -> dict[str, bytes]:
    """Every prediction table of the study, by name, as bytes."""
    from secondread.predict import run as predicting

    predicting.run(study, where)
    tables = sorted((where.root / "predict").rglob("*.parquet"))
    return {str(path.relative_to(where.root)): path.read_bytes() for path in tables}


if __name__ == "__main__":
    import sys

    from secondread.core.studyfile import load_study

    place = StudyDir(Path(sys.argv[1]))
    plan_and_train(load_study(place.study_file), place)
