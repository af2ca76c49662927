"""Commands: exit codes, and errors of one or two lines that leave earlier results untouched."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from typer.testing import CliRunner

from models.tiny_bundle import tiny_bundle
from secondread.cli import app
from secondread.cli.data import phantom
from secondread.cli.parts import _as_table
from secondread.cli.studies import _step_command, status, tune
from secondread.core.errors import BadData, WrongRequest
from secondread.core.registry import find, kinds, parts
from secondread.demo import commands
from secondread.models.bundle import reading

DRAWS = np.random.default_rng(0)


def secondread(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "SECONDREAD_DATA"}
    return subprocess.run(
        [sys.executable, "-m", "secondread", *map(str, words)],
        capture_output=True, text=True, timeout=240, check=False, env=environment,
    )  # fmt: skip


def images(folder: Path, **counts: int) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = DRAWS.integers(0, 256, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"patient{number:03d}.png")
    return folder


def study(folder: Path, **sections: object) -> Path:
    file = folder / "study.yaml"
    written = {"study": "s", "gather": {"source": {"name": "class_folders", "root": "images"}}, **sections}
    file.write_text(yaml.safe_dump(written))
    return file


def refused(told: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    assert told.returncode == code, told.stderr
    lines = [line for line in told.stderr.splitlines() if line.startswith("secondread: ")]
    assert len(lines) == 1, told.stderr
    assert "Traceback" not in told.stderr
    for word in words:
        assert re.search(word, lines[0]), lines[0]


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"trian": {}}, ["unknown key 'trian'", "train"]),
        ({"train": {"models": ["resnet19"]}}, ["no part 'resnet19'", "did you mean 'resnet18'", "vgg16"]),
        ({"train": {"models": [{"name": "googlenet", "auxx": True}]}}, ["no option 'auxx'", "aux: bool"]),
        ({"train": {"loss": {"name": "focal", "gamma": "much"}}}, ["gamma = 'much'", "float"]),
        ({"train": {"batch": "big"}}, ["train.batch"]),
        ({"prepare": {"split": {"name": "grouped", "tset": 0.2}}}, ["no option 'tset'"]),
        ({"arms": {"a": {"balance": {"name": "top_up", "from": "dcgan"}}}}, ["dcgan", "synthesize.gans"]),
        ({"evaluate": {"metrics": ["auc"]}}, ["no part 'auc'", "auroc"]),
        ({"export": {"pick": "plain/vgg16"}}, ["export.pick", "plain/vgg16", "plain/resnet18"]),
    ],
)
def test_check_names_the_mistake(tmp_path: Path, sections: dict[str, object], words: list[str]) -> None:
    refused(secondread("check", study(tmp_path, **sections)), 2, *words)


def test_trials_that_are_not_there_are_not_silently_left_out(tmp_path: Path) -> None:
    file = study(tmp_path, arms={"a": {}}, train={"models": ["plain_cnn"], "seeds": [0]})
    told = secondread("train", file, "--out", tmp_path / "out", "--only", "a/*s0")
    refused(told, 2, "no trial matches --only 'a/\\*s0'", "a/plain_cnn/r0f0s0")
    assert not (tmp_path / "out").exists()


def test_check_and_parts_say_what_there_is(tmp_path: Path) -> None:
    told = secondread("check", study(tmp_path, arms={"a": {}, "b": {}}, train={"seeds": [0, 1]}))
    assert told.returncode == 0, told.stderr
    assert "2 arms, 4 trials" in told.stdout
    listed = json.loads(secondread("parts", "--json").stdout)
    assert {part["kind"] for part in listed} == set(kinds())
    assert all(part["summary"] for part in listed)
    top_up = next(part for part in listed if part["name"] == "top_up")
    assert (top_up["options"]["from"], top_up["options"]["before_split"]) == ("", "False")
    plain = secondread("parts", "losses").stdout.splitlines()
    assert any(line.startswith("losses\tfocal\tgamma: float") for line in plain)


@pytest.mark.parametrize("kind", ["sources", "optimisers", "balance"])
def test_the_table_of_parts_leaves_nothing_out(
    kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "4000")
    found = list(parts(kind).values())
    _as_table(found)
    drawn = capsys.readouterr().out
    assert all(option.describe() in drawn for one in found for option in one.options.values())


def test_unknown_commands_and_options_are_wrong_commands(tmp_path: Path) -> None:
    assert secondread("rnu").returncode == 2
    assert secondread("run", "x.yaml", "--epochs", "3").returncode == 2
    refused(secondread("run", tmp_path / "absent.yaml"), 2, "cannot read the study file")


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, ["images"]),
        ({"normal": 6}, ["class"]),
        ({"normal": 12, "pneumonia": 1}, ["pneumonia"]),
    ],
)
def test_unfit_data_are_bad_data(tmp_path: Path, counts: dict[str, int], words: list[str]) -> None:
    (tmp_path / "images").mkdir()
    images(tmp_path / "images", **counts)
    refused(secondread("run", study(tmp_path), "--data", tmp_path, "--out", tmp_path / "out"), 3, *words)


def test_of_several_studies_each_has_its_folder_and_one_that_fails_stops_no_other(tmp_path: Path) -> None:
    tiny = {
        "gather": {"source": {"name": "phantom", "preset": "cxr-binary", "n": 160, "size": 64}},
        "train": {"models": ["plain_cnn"], "size": 32, "epochs": 1, "steps": 3, "batch": 8},
        "evaluate": {"bootstrap": 50}, "explain": {"cases": 0, "quality": False}, "export": {"int8": False},
    }  # fmt: skip
    bad = study(tmp_path, study="b").rename(tmp_path / "b.yaml")
    good = study(tmp_path, study="c", **tiny).rename(tmp_path / "c.yaml")
    told = secondread("run", bad, good, "--data", tmp_path, "--out", tmp_path / "out")
    refused(told, 3, "1 of 2 studies failed", "b.yaml")
    assert (tmp_path / "out" / "c" / "evaluate" / "report.html").exists()
    assert not (tmp_path / "out" / "b" / "evaluate").exists()


def test_two_study_files_of_one_name_are_not_written_to_one_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = study(tmp_path), study(tmp_path / "other")
    refused(secondread("run", *files, "--out", tmp_path / "out"), 2, "--out", files[0].stem)


@pytest.mark.parametrize(
    ("name", "command"),
    [("WORLD_SIZE", ("run",)), ("SLURM_STEP_NUM_TASKS", ("gather",)), ("WORLD_SIZE", ("tune", "--trials", 1))],
)
def test_in_several_processes_only_train_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: tuple[object, ...]
) -> None:
    monkeypatch.setenv(name, "2")
    file = study(images(tmp_path, normal=2, ill=2).parent, train={"search": {"batch": [8, 16]}})
    told = secondread(command[0], file, "--out", tmp_path / "out", *command[1:])
    refused(told, 2, "2 processes were started", "train alone")
    assert not (tmp_path / "out" / "gather").exists()


def test_a_wrong_search_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    file = study(images(tmp_path, images=0), train={"search": {"bach": [8, 16]}})
    with pytest.raises(WrongRequest, match="did you mean 'batch'"):
        tune(file, 1, data=tmp_path, out=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"study.yaml"}


def test_where_only_serving_is_installed_other_commands_say_what_is_missing(tmp_path: Path) -> None:
    """As in the container: here one import is made to fail, which is how a missing package looks."""
    file = study(images(tmp_path, images=0))
    code = (
        "import sys; sys.modules['pandas'] = None\n"
        f"from secondread.cli import main; sys.argv = ['secondread', 'run', {str(file)!r}]; main()"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    refused(told, 4, "pandas is not installed", "needs the whole package")


def test_the_command_line_sets_every_share_of_a_phantom(tmp_path: Path) -> None:
    phantom("cxr-3class", tmp_path / "p", n=12, size=32, imbalance=["Normal=0", "Viral Pneumonia=0"], visits=1)
    told = json.loads((tmp_path / "p_truth" / "phantom.json").read_text())
    assert {path.parent.name for path in (tmp_path / "p").rglob("*.png")} == {"COVID"}
    assert told["spec"]["visits"] == 1
    for wrong in ("COVID", "COVID=much"):
        with pytest.raises(WrongRequest, match="CLASS=SHARE"):
            phantom("cxr-3class", tmp_path / "q", imbalance=[wrong])
    assert find("sources", "phantom").check({"imbalance": {"COVID": 1}}) == {"imbalance": {"COVID": 1.0}}


def test_a_step_names_each_folder_that_it_made_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = study(images(tmp_path / "images", normal=12, ill=12).parent, train={"size": 32})
    for step in ("gather", "prepare"):
        _step_command(step)(file, data=tmp_path, out=tmp_path / "out")
    assert capsys.readouterr().out.splitlines() == [str(tmp_path / "out" / step) for step in ("gather", "prepare")]


def test_status_says_why_a_step_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = study(images(tmp_path / "images", normal=3).parent)
    with pytest.raises(BadData, match="only one class"):
        _step_command("gather")(file, data=tmp_path, out=tmp_path / "out")
    status(tmp_path / "out")
    assert "failed: gather rows: only one class was found" in capsys.readouterr().out


def test_a_missing_data_folder_is_bad_data(tmp_path: Path) -> None:
    refused(secondread("run", study(tmp_path), "--data", tmp_path / "nowhere", "--out", tmp_path / "out"), 3, "nowhere")
    refused(secondread("run", study(tmp_path), "--data", tmp_path, "--out", tmp_path / "out"), 3, "images")


def test_an_output_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    images(tmp_path / "images", normal=3, pneumonia=3)
    refused(secondread("run", study(tmp_path), "--data", tmp_path, "--out", tmp_path / "mine"), 2, "another --out")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "precious"
    assert len(list((tmp_path / "mine").iterdir())) == 1
    (tmp_path / "file").write_text("")
    refused(
        secondread("run", study(tmp_path), "--data", tmp_path, "--out", tmp_path / "file" / "out"), 3, "cannot write"
    )


def test_broken_images_among_good_ones_are_dropped_listed_and_counted(tmp_path: Path) -> None:
    folder = images(tmp_path / "images", normal=30, pneumonia=30)
    whole = (folder / "normal" / "patient000.png").read_bytes()
    (folder / "normal" / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (folder / "normal" / "empty.png").write_bytes(b"")
    (folder / "pneumonia" / "text.png").write_bytes(b"this is no image")
    file = study(tmp_path, train={"size": 32})
    for step in ("gather", "prepare"):
        told = secondread(step, file, "--data", tmp_path, "--out", tmp_path / "out")
        assert told.returncode == 0, told.stderr
    import pandas as pd

    dropped = pd.read_parquet(tmp_path / "out" / "prepare" / "dropped.parquet")
    assert {"normal/truncated.png", "normal/empty.png", "pneumonia/text.png"} <= set(dropped["row_id"])
    audit = json.loads((tmp_path / "out" / "prepare" / "audit.json").read_text())
    assert (audit["files"], audit["readable"]) == (63, 60)


def test_a_bundle_that_is_none_is_a_wrong_argument(tmp_path: Path) -> None:
    refused(secondread("read", tmp_path, tmp_path), 2, "bundle|card")
    refused(secondread("status", tmp_path), 2, "no study directory")


def test_a_table_is_not_written_over_an_image(tmp_path: Path) -> None:
    image = tmp_path / "image.png"
    image.write_bytes(b"pixels")
    refused(secondread("read", tmp_path, image, "--csv", image), 2, "no .csv file")
    assert image.read_bytes() == b"pixels"


def test_reading_a_folder_without_files_says_so(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle")
    (tmp_path / "empty").mkdir()
    refused(secondread("read", bundle, tmp_path / "empty"), 3, "there is no file")


def test_readings_are_written_as_they_come_and_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(dict[str, Any]):
        """A reading that can be watched."""

    for k in range(40):
        shown = np.random.default_rng(k).integers(0, 256, (32, 32), dtype=np.uint8)
        Image.fromarray(shown).save(tmp_path / f"{k:02}.png")
    kept: list[weakref.ref[Told]] = []
    most, real = 0, reading.read_images

    def watched(*given: Any, **named: Any) -> Iterator[Told]:
        nonlocal most
        for told in real(*given, **named):
            one = Told(told)
            kept.append(weakref.ref(one))
            most = max(most, sum(ref() is not None for ref in kept))
            yield one

    monkeypatch.setattr(reading, "read_images", watched)
    bundle = tiny_bundle(tmp_path.with_name("bundle"), gate=False)
    made = CliRunner().invoke(app, ["read", str(bundle), str(tmp_path), "--csv", str(tmp_path / "told.csv")])
    assert made.exit_code == 0, made.output
    table = (tmp_path / "told.csv").read_text().splitlines()
    assert len(table) == 1 + len(kept) == 41
    assert table[1].startswith(f"{tmp_path / '00.png'},")
    assert most <= 2


def test_the_commands_that_the_demo_names_work_in_folders_with_spaces() -> None:
    bundle, image = Path("my demo/study/export/plain/plain_cnn"), Path("my demo/data/a b.png")
    read, serve = (shlex.split(command) for command in commands(bundle, image))
    assert read == ["secondread", "read", str(bundle), str(image)]
    assert serve == ["secondread", "serve", str(bundle)]


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['secondread', '--help']\n"
        "from secondread.cli import main\n"
        "try: main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'pydantic', 'matplotlib', 'django'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


def test_the_version_is_told() -> None:
    from secondread import __version__

    assert secondread("--version").stdout.strip() == __version__


def test_labels_of_a_proof_name_a_class_and_its_names(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    ended = CliRunner().invoke(app, ["prove", str(bundle), str(tmp_path), "--labels", "normal:clear"])
    assert isinstance(ended.exception, WrongRequest)
    assert "--labels normal:clear: give a class" in str(ended.exception)


def test_a_reading_begins_with_what_the_bundle_warns_of(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b", banners=["SHORTCUT: borders tell the classes apart"])
    told = CliRunner().invoke(app, ["read", str(bundle), str(images(tmp_path / "i", normal=1))])
    assert told.stderr.splitlines()[1] == "SHORTCUT: borders tell the classes apart"
    assert "SHORTCUT" not in told.stdout
