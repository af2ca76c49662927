"""A study directory as the steps before `evaluate` would leave it, with predictions drawn from a known truth.

Every row has a difficulty that all trials share, so that trials on the same rows agree as real ones do; an arm's skill
is the distance between the classes' mean logits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from secondread.core.files import write_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study, save_study
from secondread.core.tables import (
    CLEAN_COLUMNS,
    PREDICTION_COLUMNS,
    ROW_COLUMNS,
    SPLIT_COLUMNS,
    Dataset,
    with_columns,
    write_dataset,
    write_table,
)
from secondread.core.trials import Trial, trials

SIDE = 24


@dataclass
class Simulated:
    """What the simulation knows to be true."""

    classes: tuple[str, ...] = ("normal", "covid")
    task: str = "binary"
    rows: int = 240
    per_patient: int = 1
    shares: tuple[float, ...] = (0.6, 0.4)
    skill: dict[str, float] = field(default_factory=lambda: {"imbalanced": 1.6})
    models: tuple[str, ...] = ("resnet18",)
    seeds: tuple[int, ...] = (0,)
    folds: int = 1
    repeats: int = 1
    evaluate: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    images: bool = True
    about: str = "Does treating the imbalance help?"


def study_of(known: Simulated) -> Study:
    split: dict[str, Any] = {"name": "kfold", "folds": known.folds} if known.folds > 1 else {"name": "grouped"}
    if known.repeats > 1:
        split["repeats"] = known.repeats
    return parse_study({
        "study": "simulated", "about": known.about,
        "prepare": {"split": split},
        "train": {"models": list(known.models), "seeds": list(known.seeds), "size": 32, "epochs": 6},
        "arms": {arm: {} for arm in known.skill},
        "evaluate": {"bootstrap": 200, **known.evaluate},
    })  # fmt: skip


def write_simulated(root: Path, known: Simulated) -> tuple[Study, StudyDir]:
    """Write every file that `evaluate` reads."""
    study, where = study_of(known), StudyDir(root)
    save_study(study, where.study_file)
    draws = np.random.default_rng(known.seed)
    rows = _rows(known, draws)
    labels = _labels(known, draws)
    difficulty = draws.normal(size=(known.rows, len(known.classes)))
    dataset = Dataset(known.task, list(known.classes), str(root / "data"), "class_folders", "name of the file",  # type: ignore[arg-type]
                      {}, [f"{known.rows} images of {rows['patient'].nunique()} patients"])  # fmt: skip
    write_dataset(dataset, where.dataset)
    table = with_columns(rows, known.classes, labels, "y_")
    write_table(rows, where.rows, ROW_COLUMNS)
    write_table(table, where.clean_rows, ROW_COLUMNS | CLEAN_COLUMNS)
    splits = _splits(known, rows)
    write_table(splits, where.splits, SPLIT_COLUMNS)
    write_json(where.split_proof, {"leaky": False, "folds": []})
    write_json(where.audit, _audit(known))
    for trial in trials(study, where):
        _trial(trial, known, where, table, labels, difficulty, splits)
    if known.images:
        _cache(where, rows, labels, draws)
    return study, where


def _rows(known: Simulated, draws: np.random.Generator) -> pd.DataFrame:
    ids = [f"{i % 7}/image_{i:05d}.png" for i in range(known.rows)]
    patients = [f"P{i // known.per_patient:05d}" for i in range(known.rows)]
    return pd.DataFrame({
        "row_id": ids, "path": ids, "index": -1,
        "content_id": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
        "label": "", "patient": patients, "site": draws.choice(["north", "south"], known.rows), "split_given": None,
        "sex": draws.choice(["F", "M"], known.rows), "age": draws.integers(1, 95, known.rows).astype(float),
        "view": draws.choice(["PA", "AP"], known.rows), "group": patients, "duplicate_cluster": None,
        "patient_known": True,
    })  # fmt: skip


def _labels(known: Simulated, draws: np.random.Generator) -> np.ndarray:
    if known.task == "multilabel":
        return (draws.random((known.rows, len(known.classes))) < np.array(known.shares)).astype(np.float32)
    of_row = draws.choice(len(known.classes), known.rows, p=np.array(known.shares) / sum(known.shares))
    return np.eye(len(known.classes), dtype=np.float32)[of_row]


def _splits(known: Simulated, rows: pd.DataFrame) -> pd.DataFrame:
    parts = []
    patients = rows["patient"].unique()
    for repeat in range(known.repeats):
        turn = np.random.default_rng([known.seed, repeat]).permutation(len(patients))
        place = dict(zip(patients, turn / len(patients), strict=True))
        share = rows["patient"].map(place)
        own_fold = rows["patient"].map(dict(zip(patients, turn % known.folds, strict=True)))
        for fold in range(known.folds):
            if known.folds > 1:
                test = own_fold == fold
                val = ~test & ((share * 997) % 1 < 0.25)
            else:
                test, val = share < 0.5, (share >= 0.5) & (share < 0.75)
            split = np.where(test, "test", np.where(val, "val", "train"))
            parts.append(pd.DataFrame({"repeat": repeat, "fold": fold, "row_id": rows["row_id"], "split": split}))
    return pd.concat(parts, ignore_index=True)


def _trial(
    trial: Trial, known: Simulated, where: StudyDir, table: pd.DataFrame, labels: np.ndarray, difficulty: np.ndarray,
    splits: pd.DataFrame,
) -> None:  # fmt: skip
    draws = np.random.default_rng(
        [known.seed, list(known.skill).index(trial.arm), known.models.index(trial.model.label), trial.repeat,
         trial.fold, trial.seed]
    )  # fmt: skip
    skill = known.skill[trial.arm]
    noise = 0.85 * difficulty + 0.5 * draws.normal(size=labels.shape)
    logits = 1.5 * (skill * (labels - 0.5) + noise)
    own = splits[(splits["repeat"] == trial.repeat) & (splits["fold"] == trial.fold) & (splits["split"] != "train")]
    picked = table.reset_index().merge(own[["row_id", "split"]], on="row_id")
    at = picked["index"] if "level_0" not in picked else picked["level_0"]
    made = picked[["row_id", "content_id", "patient", "group", "split"]].assign(
        arm=trial.arm, model=trial.model.label, repeat=trial.repeat, fold=trial.fold, seed=trial.seed
    )
    logits = logits[at.to_numpy()]
    if known.task == "multilabel":
        chances = 1 / (1 + np.exp(-logits))
    else:
        chances = np.exp(logits - logits.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
    made = with_columns(made, known.classes, labels[at.to_numpy()], "y_")
    made = with_columns(made, known.classes, logits.astype(np.float32), "logit_")
    made = with_columns(made, known.classes, chances.astype(np.float32), "p_")
    write_table(made, where.predictions(trial.name), PREDICTION_COLUMNS)
    prior = labels.mean(axis=0).round(6).tolist()
    folder = where.trial(trial.name)
    write_json(folder / "card.json", {
        "study": "simulated", "arm": trial.arm, "model": trial.model.label, "repeat": trial.repeat,
        "fold": trial.fold, "seed": trial.seed, "part": trial.model.name, "options": {}, "classes": list(known.classes),
        "task": known.task, "channels": 1, "size": 32, "fit": "stretch", "intensity": "full_range", "crop_border": 0.0,
        "mean": [0.5], "std": [0.25], "head": {"hidden": 0, "dropout": 0.0}, "training_prior": prior,
        "natural_prior": prior, "best_epoch": 4, "steps": 60, "seconds": 12.5, "contents": "0" * 64, "weights": "none",
        "notes": [], "parameters": 11_000_000,
    })  # fmt: skip
    _epochs(skill, draws).to_csv(folder / "epochs.csv", index=False)


def _epochs(skill: float, draws: np.random.Generator) -> pd.DataFrame:
    epoch = np.arange(1, 7)
    falling = np.exp(-epoch * skill / 4)
    return pd.DataFrame({
        "epoch": epoch, "step": 10 * epoch, "seconds": 2.0 * epoch, "images_per_s": 900.0,
        "lr": 1e-3 * np.sin(np.pi * epoch / 7), "train_loss": 0.7 * falling + 0.05,
        "val_loss": 0.7 * falling + 0.12 + 0.02 * draws.random(6), "train_accuracy": 1 - 0.4 * falling,
        "val_accuracy": 1 - 0.45 * falling, "val_recall": 1 - 0.5 * falling, "val_auroc": 1 - 0.3 * falling,
    })  # fmt: skip


def _audit(known: Simulated) -> dict[str, Any]:
    return {
        "files": known.rows, "readable": known.rows, "distinct_bytes": known.rows, "exact_groups": 0,
        "exact_groups_across_classes": 0, "near_groups": 0, "patients": known.rows // known.per_patient,
        "patients_across_classes": 0, "patients_across_splits": 0, "task": known.task,
        "classes": dict.fromkeys(known.classes, 1), "probes": {},
        "findings": [{"code": "few_cases", "severity": "info", "message": "Small on purpose.", "files": []}],
    }  # fmt: skip


def _cache(where: StudyDir, rows: pd.DataFrame, labels: np.ndarray, draws: np.random.Generator) -> None:
    across, down = np.meshgrid(np.linspace(-1, 1, SIDE), np.linspace(-1, 1, SIDE))
    blob = 200 * np.exp(-3 * (across**2 + down**2))
    pixels = draws.normal(40, 12, (len(rows), SIDE, SIDE)) + blob * (0.4 + 0.5 * labels[:, -1])[:, None, None]
    where.cache.mkdir(parents=True, exist_ok=True)
    np.save(where.cache / "simulated.npy", np.clip(pixels, 0, 255).astype(np.uint8))
    write_json(where.cache / "simulated.json", {"row_ids": rows["row_id"].tolist(), "settings": {}})
    write_json(where.pixels, {
        "channels": 1, "intensity": "full_range", "crop_border": 0.0, "decoder": 1,
        "caches": {"32-stretch": {"key": "simulated", "file": "cache/simulated.npy"}},
    })  # fmt: skip


@pytest.fixture
def simulate(tmp_path: Path) -> Callable[..., tuple[Study, StudyDir]]:
    """Call with the fields of `Simulated`; gives the study and its directory."""

    def make(**fields: Any) -> tuple[Study, StudyDir]:
        return write_simulated(tmp_path / "study", Simulated(**fields))

    return make


@pytest.fixture(scope="session")
def simulated_in() -> Callable[[Path, Simulated], tuple[Study, StudyDir]]:
    return write_simulated


@pytest.fixture(scope="session")
def simulated() -> type[Simulated]:
    return Simulated
