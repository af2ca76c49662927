"""The road on a system that is neither: what macOS and Windows lack is taken from Python, see tests/elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from secondread.images.phantom import PhantomSpec, write_phantom

ELSEWHERE = Path(__file__).parents[1] / "elsewhere"
STUDY = {
    "study": "elsewhere",
    "gather": {"source": {"name": "class_folders", "root": "images"}},
    "train": {"models": [{"name": "plain_cnn", "width": 8}], "size": 32, "epochs": 1, "batch": 16},
    "evaluate": {"bootstrap": 20},
    "explain": {"cases": 2, "quality": False},
}


def secondread(*words: object, **more: str) -> subprocess.CompletedProcess[str]:
    places = os.pathsep.join([str(ELSEWHERE), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-m", "secondread", *map(str, words)], capture_output=True, text=True, check=False,
        timeout=300, env={**os.environ, "PYTHONPATH": places, **more},
    )  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("elsewhere")
    write_phantom(PhantomSpec(preset="cxr-binary", n=90, size=40, seed=3), made / "images", "folder")
    (made / "study.yaml").write_text(yaml.safe_dump(STUDY))
    ended = secondread("run", made / "study.yaml", "--data", made, "--out", made / "out")
    assert ended.returncode == 0, ended.stderr
    return made


def test_a_study_runs_and_its_bundle_reads(done: Path) -> None:
    bundle = next((done / "out" / "export").rglob("model.onnx")).parent
    ended = secondread("read", bundle, next((done / "images").rglob("*.png")), "--json")
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["probabilities"]


def test_a_cold_start_is_timed_although_nobody_tells_its_memory(done: Path) -> None:
    bundle = next((done / "out" / "export").rglob("model.onnx")).parent
    ended = secondread("bench", bundle, "--repeats", 3, "--json", done / "bench.json")
    assert ended.returncode == 0, ended.stderr
    rows = json.loads((done / "bench.json").read_text())
    assert {row["peak_mb"] for row in rows} == {None}
    assert [row for row in rows if row["cold_start_s"] is not None and row["cold_start_s"] > 0]


def test_the_web_application_says_where_it_runs(done: Path) -> None:
    ended = secondread("serve", done / "out" / "export")
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].startswith("secondread: the web application runs on Linux and macOS")


def test_a_pipe_of_few_letters_ends_no_command(done: Path) -> None:
    named = done / "肺炎.yaml"
    named.write_text(yaml.safe_dump(STUDY))
    ended = secondread("check", named, PYTHONIOENCODING="cp1252")
    assert (ended.returncode, "elsewhere, 1 arm, 1 trial" in ended.stdout) == (0, True)
