"""The whole road on phantom images: from files to a bundle that reads a new image; killed on the way, done once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from html import escape
from pathlib import Path

import pandas as pd
import pytest
import yaml

import secondread as sr
from secondread.api import Result
from secondread.core.studydir import StudyDir
from secondread.images.phantom import PhantomSpec, write_phantom

STUDY = {
    "study": "journey",
    "gather": {"source": {"name": "class_folders", "root": "images"}},
    "prepare": {"split": {"name": "grouped", "test": 0.3, "val": 0.2}},
    "synthesize": {
        "gans": [{"name": "dcgan", "width": 8}],
        "for": ["NORMAL"],
        "size": 32,
        "steps": 6,
        "batch": 8,
        "sheet_every": 3,
        "samples": 40,
    },
    "train": {
        "models": ["plain_cnn"],
        "size": 32,
        "epochs": 2,
        "batch": 16,
        "optimiser": {"name": "adamw", "lr": 3e-3},
    },
    "arms": {"plain": {}, "dcgan": {"balance": {"name": "top_up", "from": "dcgan", "to": "majority"}}},
    "evaluate": {"bootstrap": 100},
    "explain": {"cases": 4},
    "export": {"int8": False},
}
STEPS = ["gather", "prepare", "synthesize", "balance", "train", "predict", "evaluate", "explain", "export"]


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "secondread", *map(str, words)]


def secondread(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("journey")
    write_phantom(PhantomSpec(preset="cxr-binary", n=140, size=48, seed=3), made / "images", "folder")
    (made / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return made


@pytest.fixture(scope="module")
def done(folder: Path) -> Path:
    ended = secondread("run", folder / "study.yaml", "--data", folder, "--out", folder / "out")
    assert ended.returncode == 0, ended.stderr
    return folder / "out"


def predictions(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted((root / "predict").rglob("*.parquet"))}


def test_it_leaves_what_the_architecture_promises(done: Path) -> None:
    where = StudyDir(done)
    bundle = next((done / "export").rglob("model.onnx")).parent
    promised = [
        where.rows, where.dataset, where.clean_rows, where.dropped, where.audit, where.splits, where.split_proof,
        where.pixels, where.synthetic_rows, where.synthetic_quality, where.plan("plain", 0, 0),
        where.plan("dcgan", 0, 0),
        where.scores, where.comparisons, where.summary, where.report, where.operating("plain", "plain_cnn"),
        *(where.trial("plain/plain_cnn/r0f0s0") / name for name in ("best.safetensors", "card.json", "epochs.csv")),
        *(bundle / name for name in ("card.json", "reference.npz", "MODEL_CARD.md")),
        where.gan("dcgan", "NORMAL", 0, 0, 0) / "film.webp",
    ]  # fmt: skip
    assert [str(path) for path in promised if not path.exists()] == []
    assert set(predictions(done)) == {f"predict/{arm}/plain_cnn/r0f0s0.parquet" for arm in ("plain", "dcgan")}


def test_every_unit_is_done_and_a_second_run_redoes_none(folder: Path, done: Path) -> None:
    told = secondread("status", done, "--json")
    units = json.loads(told.stdout)
    assert {unit["step"] for unit in units} == set(STEPS)
    assert [unit for unit in units if unit["state"] != "done"] == []
    times = {path: path.stat().st_mtime_ns for path in done.rglob("*done.json")}
    again = secondread("run", folder / "study.yaml", "--data", folder, "--out", done)
    assert again.returncode == 0, again.stderr
    assert {path: path.stat().st_mtime_ns for path in done.rglob("*done.json")} == times
    assert "to do" not in again.stderr


def test_synthetic_rows_stand_in_train_only(done: Path) -> None:
    where = StudyDir(done)
    plan = pd.read_parquet(where.plan("dcgan", 0, 0))
    assert plan["synthetic"].any()
    judged = pd.read_parquet(where.predictions("dcgan/plain_cnn/r0f0s0"))
    assert not set(judged["row_id"]) & set(plan["row_id"])
    assert not judged["row_id"].str.startswith("synthesize").any()


def test_the_bundle_reads_an_image_without_torch(folder: Path, done: Path) -> None:
    bundle = next((done / "export").rglob("model.onnx")).parent
    image = sorted((folder / "images").rglob("*.png"))[0]
    code = (
        "import sys; from secondread.cli import main\n"
        f"sys.argv = ['secondread', 'read', {str(bundle)!r}, {str(image)!r}, '--json']\n"
        "try: main()\nexcept SystemExit as ended: assert not ended.code, ended.code\n"
        "assert not {'torch', 'torchvision', 'timm', 'accelerate'} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    reading = json.loads(ended.stdout.splitlines()[0])
    assert reading["status"] in ("read", "uncertain", "refused")
    assert sum(reading["probabilities"].values()) == pytest.approx(1.0, abs=1e-4)


def test_proven_on_its_own_images_it_leaves_the_test_part_and_finds_its_test_scores(folder: Path, done: Path) -> None:
    bundle = next((done / "export").rglob("model.onnx")).parent
    words = ["prove", str(bundle), str(folder / "images"), "--out", str(folder / "proof")]
    code = (
        f"import sys; from secondread.cli import main\nsys.argv = ['secondread', *{words!r}]\n"
        "try: main()\nexcept SystemExit as ended: assert not ended.code, ended.code\n"
        "assert not {'torch', 'torchvision', 'timm', 'accelerate'} & set(sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    readings = pd.read_csv(folder / "proof" / "proof" / "readings.csv")
    splits = pd.read_parquet(StudyDir(done).splits)
    assert set(readings["row_id"]) == set(splits.loc[splits["split"] == "test", "row_id"])
    told = json.loads((folder / "proof" / "proof" / "proof.json").read_text())
    assert [claim["metric"] for claim in told["claims"]] == ["auroc", "recall", "specificity"]
    assert [claim["difference"] for claim in told["claims"]] == pytest.approx([0, 0, 0], abs=1e-9)
    assert told["sentences"][0] in ended.stdout


def test_the_python_faces(done: Path) -> None:
    result = Result(StudyDir(done))
    assert {"auroc", "accuracy"} <= set(result.scores["metric"])
    assert result.scores[["low", "high"]].notna().any(axis=None)
    assert "macro" in set(result.scores["class"])
    assert result.report.exists()
    shown, told = result._repr_html_(), json.loads((done / "evaluate" / "summary.json").read_text())
    assert all(escape(one) in shown for one in [*told["banners"], *told["sentences"]])
    assert any(one.startswith("Picked.") for one in told["sentences"])
    assert "no report yet" in Result(StudyDir(done / "nothing"))._repr_html_()


def test_readings_have_the_columns_of_the_table_whatever_is_read(done: Path, folder: Path, tmp_path: Path) -> None:
    bundle = Result(StudyDir(done)).bundles[0]
    image = next(iter(sorted((folder / "images").rglob("*.png"))))
    wrong = tmp_path / "no image.txt"
    wrong.write_text("words")
    ended = secondread("read", bundle, image, wrong, "--csv", tmp_path / "r.csv")
    assert ended.returncode == 3, ended.stderr
    table = pd.read_csv(tmp_path / "r.csv")
    for images in ([image, wrong], [image], [wrong], []):
        assert list(sr.read(bundle, images)) == list(table)
    both = sr.read(bundle, [image, wrong])
    pd.testing.assert_series_equal(both["decision"], table["decision"], check_dtype=False)
    assert set(sr.__all__) == set(dir(sr))


def test_the_same_seed_gives_the_same_bytes_and_another_arm_redoes_nothing(folder: Path, done: Path) -> None:
    more = STUDY | {"arms": {**STUDY["arms"], "sampler": {"balance": "sampler"}}}  # type: ignore[dict-item]
    (folder / "more.yaml").write_text(yaml.safe_dump(more))
    before = {path: path.stat().st_mtime_ns for path in (done / "train").rglob("done.json")}
    ended = secondread("run", folder / "more.yaml", "--data", folder, "--out", done)
    assert ended.returncode == 0, ended.stderr
    after = {path: path.stat().st_mtime_ns for path in (done / "train").rglob("done.json")}
    assert set(after) - set(before) == {done / "train" / "sampler" / "plain_cnn" / "r0f0s0" / "done.json"}
    assert all(after[path] == before[path] for path in before)


def killed_at(step: str, words: list[object]) -> None:
    """Start the command and kill it as soon as it has said that it begins the step."""
    running = subprocess.Popen(command(*words), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert running.stderr is not None
    begun = any(line.startswith(f"── {step}") for line in running.stderr)
    running.send_signal(signal.SIGKILL)
    running.wait()
    running.stderr.close()
    assert begun, f"{step} was not to do"


def test_a_run_killed_in_every_step_ends_with_the_same_predictions(folder: Path, done: Path) -> None:
    words: list[object] = ["run", folder / "study.yaml", "--data", folder, "--out", folder / "killed"]
    for step in STEPS:
        killed_at(step, words)
    ended = secondread(*words)
    assert ended.returncode == 0, ended.stderr
    undisturbed = predictions(done)
    assert {name: undisturbed[name] for name in predictions(folder / "killed")} == predictions(folder / "killed")
    assert len(predictions(folder / "killed")) == 2
