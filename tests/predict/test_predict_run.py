"""Prediction tables: the rows of validation and test, byte for byte the same for the same seed, also after kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import small_study
from secondread.core.errors import BadData, Leak
from secondread.core.leakage import write_contents
from secondread.core.studydir import StudyDir
from secondread.core.tables import PREDICTION_COLUMNS, read_table, write_table
from secondread.learning.inference import probabilities
from secondread.predict import run as predicting

ARMS = {
    "plain": {},
    "augmented": {
        "balance": "oversample",
        "train": {"augment": "strong", "ema": 0.9, "head": {"dropout": 0.3}, "regime": "head_then_full"},
    },
}


def made(root: Path) -> dict[str, bytes]:
    where = small_study.small_directory(root)
    study = small_study.small_study(root, {}, ARMS)
    small_study.plan_and_train(study, where)
    tables: dict[str, bytes] = small_study.predict(study, where)
    return tables


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    root = tmp_path_factory.mktemp("undisturbed")
    return root, made(root)


def test_the_table_has_its_rows_and_columns(undisturbed: tuple[Path, dict[str, bytes]]) -> None:
    root, tables = undisturbed
    assert sorted(tables) == [f"predict/{arm}/plain_cnn/r0f0s0.parquet" for arm in ("augmented", "plain")]
    table = read_table(root / "predict/plain/plain_cnn/r0f0s0.parquet")
    written = [f"{kind}_{name}" for kind in ("y", "logit", "p") for name in ("c0", "c1")]
    assert list(table.columns) == [*PREDICTION_COLUMNS, *written]
    splits = read_table(root / "prepare/splits.parquet").set_index("row_id")["split"]
    assert dict(zip(table["row_id"], table["split"], strict=True)) == dict(splits[splits != "train"])
    assert np.allclose(table[["p_c0", "p_c1"]].sum(axis=1), 1)
    expected = np.exp(table["logit_c1"]) / (np.exp(table["logit_c0"]) + np.exp(table["logit_c1"]))
    assert np.allclose(table["p_c1"], expected, atol=1e-6)
    assert "predict" in (root / "test_reads.jsonl").read_text()


def test_the_same_seed_gives_the_same_bytes(undisturbed: tuple[Path, dict[str, bytes]], tmp_path: Path) -> None:
    assert made(tmp_path) == undisturbed[1]


@pytest.mark.parametrize("files", [2, 3])
def test_a_killed_training_ends_with_the_same_tables(
    undisturbed: tuple[Path, dict[str, bytes]], tmp_path: Path, files: int
) -> None:
    """SIGKILL once `files` checkpoints or finished trials are there, then run again."""
    where = small_study.small_directory(tmp_path)
    study = small_study.small_study(tmp_path, {}, ARMS)
    program = Path(small_study.__file__)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen([sys.executable, str(program), str(tmp_path)], env=environment)
    while process.poll() is None and _progress(tmp_path) < files:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    small_study.plan_and_train(study, where)
    assert small_study.predict(study, where) == undisturbed[1]


def _progress(root: Path) -> int:
    found = list((root / "train").rglob("*.checkpoint.safetensors")) + list((root / "train").rglob("done.json"))
    return len(found)


def test_a_trial_that_saw_a_test_row_is_not_judged_on_it(
    undisturbed: tuple[Path, dict[str, bytes]], tmp_path: Path
) -> None:
    where = small_study.small_directory(tmp_path)
    study = small_study.small_study(tmp_path, {"epochs": 1, "steps": 1})
    small_study.plan_and_train(study, where)
    splits, rows = read_table(where.splits), read_table(where.clean_rows)
    test_row = splits.loc[splits["split"] == "test", "row_id"].iloc[0]
    content = rows.set_index("row_id").loc[test_row, "content_id"]
    write_contents(where.trial("plain/plain_cnn/r0f0s0") / "contents.json", [content])
    with pytest.raises(Leak, match="plain/plain_cnn/r0f0s0 was fitted on 1 of the rows"):
        predicting.run(study, where)
    assert not where.predictions("plain/plain_cnn/r0f0s0").exists()


def test_without_a_trained_trial_the_step_is_named(tmp_path: Path) -> None:
    where = small_study.small_directory(tmp_path)
    with pytest.raises(BadData, match="secondread train"):
        predicting.run(small_study.small_study(tmp_path, {}), where)


def test_probabilities_are_softmax_or_sigmoid() -> None:
    logits = np.array([[0.0, 1000.0], [-1000.0, 0.0]], np.float32)
    assert probabilities(logits, "binary").tolist() == [[0, 1], [0, 1]]
    assert probabilities(logits, "multilabel").tolist() == [[0.5, 1], [0, 0.5]]
    assert probabilities(logits, "multiclass").dtype == np.float32


def test_adding_an_arm_predicts_that_arm_alone(undisturbed: tuple[Path, dict[str, bytes]]) -> None:
    root, before = undisturbed
    where = StudyDir(root)
    study = small_study.small_study(root, {}, ARMS | {"flipped": {"train": {"augment": "traditional"}}})
    stamps = {path: path.stat().st_mtime_ns for path in (root / "train").rglob("*") if path.is_file()}
    small_study.plan_and_train(study, where)
    after = small_study.predict(study, where)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert pd.read_csv(root / "train/flipped/plain_cnn/r0f0s0/epochs.csv")["epoch"].tolist() == [1, 2]


def test_an_external_set_gets_its_own_table(small_external: tuple[Path, StudyDir]) -> None:
    root, where = small_external
    study = small_study.small_study(
        root, {"epochs": 1}, gather={"external": [{"name": "elsewhere", "source": "class_folders"}]}
    )
    small_study.plan_and_train(study, where)
    tables = small_study.predict(study, where)
    assert sorted(tables) == [
        "predict/external/elsewhere/plain/plain_cnn/r0f0s0.parquet",
        "predict/plain/plain_cnn/r0f0s0.parquet",
    ]
    table = read_table(where.external_predictions("elsewhere", "plain/plain_cnn/r0f0s0"))
    assert len(table) == 12
    assert set(table["split"]) == {"test"}
    assert np.isfinite(table[["logit_c0", "p_c1"]]).all(axis=None)
    rows = read_table(where.external_rows("elsewhere"))
    seen = read_table(where.clean_rows).set_index("row_id").loc["p000/000.png", "content_id"]
    rows.loc[0, "content_id"] = seen  # a training image in the external set
    write_table(rows, where.external_rows("elsewhere"), {})
    with pytest.raises(Leak, match="was fitted on 1 of the rows"):
        predicting.run(study, where)


@pytest.fixture
def small_external(tmp_path: Path) -> tuple[Path, StudyDir]:
    """A study directory and, gathered into it, twelve images from elsewhere."""
    where = small_study.small_directory(tmp_path / "study")
    other = small_study.small_directory(tmp_path / "other", count=12, seed=500)
    rows = read_table(other.clean_rows).drop(columns=["group", "duplicate_cluster", "patient_known"])
    write_table(rows, where.external_rows("elsewhere"), {})
    where.external_rows("elsewhere").with_suffix(".json").write_bytes(other.dataset.read_bytes())
    return tmp_path / "study", where
