"""From a folder to a study that runs: the command, on phantom images."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import secondread
from secondread import pipeline
from secondread.cli import app
from secondread.core.errors import BadData
from secondread.core.studyfile import load_study, parse_study
from secondread.core.trials import trials
from secondread.images.phantom import PhantomSpec, write_phantom
from secondread.planning.seen import seen_in
from secondread.prepare.report import name_of


@pytest.fixture(autouse=True)
def _own_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SECONDREAD_DATA", raising=False)


def test_a_folder_becomes_a_study_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_phantom(PhantomSpec(preset="cxr-binary", n=120, seed=0, size=48), tmp_path / "chests", "folder")
    told = CliRunner().invoke(app, ["plan", "chests", "--minutes", "5"], catch_exceptions=False)
    assert told.exit_code == 0
    assert told.output.splitlines()[-1] == "chests.yaml"
    assert callable(secondread.plan)  # and no module of that name
    again = CliRunner().invoke(app, ["plan", "nowhere", "--out", "chests.yaml"])
    assert "there already" in str(again.exception)  # told before the data are looked at
    study = load_study(Path("chests.yaml"))
    assert study.train.size == 32  # no more than the images have, in steps of 32
    assert study.prepare.split.options["folds"] == 5  # few patients
    opened, where = pipeline.open_study(Path("chests.yaml"), None, tmp_path / "run")
    pipeline.run(opened, where, ("gather", "prepare", "balance"))
    assert all(where.plan(trial.arm, trial.repeat, trial.fold).exists() for trial in trials(opened, where))


def test_the_facts_are_those_of_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECONDREAD_DATA", str(tmp_path))
    write_phantom(PhantomSpec(preset="cxr-3class", n=60, seed=1, size=40), tmp_path / "sets" / "three", "folder")
    first = next(iter(sorted((tmp_path / "sets" / "three").rglob("*.png"))))
    shutil.copy(first, first.with_stem(f"{first.stem}_again"))
    seen = seen_in(tmp_path / "sets" / "three")
    assert seen.copies == 1
    files = list((tmp_path / "sets" / "three").rglob("*.png"))
    assert seen.count == len(files)
    assert seen.images == {name: sum(name in str(file) for file in files) for name in seen.images}
    assert seen.side == 40
    assert seen.root == "sets/three"
    assert seen.task == "multiclass"


@pytest.mark.parametrize(
    ("folder", "name"),
    [("chest_xray", "chest_xray"), ("Röntgen 2", "Rontgen-2"), ("影像", "data"), (".hidden", "hidden"),
     ("x" * 250, "x" * 100)],
)  # fmt: skip
def test_a_study_of_any_folder_has_a_name_that_a_study_file_takes(folder: str, name: str) -> None:
    assert parse_study({"study": name_of(Path(folder))}).study == name


def test_a_folder_named_in_other_letters_is_looked_into(tmp_path: Path) -> None:
    write_phantom(PhantomSpec(preset="cxr-binary", n=24, seed=0, size=32), tmp_path / "Röntgen 影像", "folder")
    seen = seen_in(tmp_path / "Röntgen 影像")
    assert (seen.name, seen.count) == ("Rontgen", 24)


def test_images_that_nothing_is_said_of_cannot_be_planned_for(tmp_path: Path) -> None:
    write_phantom(PhantomSpec(preset="cxr-binary", n=20, seed=0, size=32), tmp_path / "chests", "folder")
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted((tmp_path / "chests").rglob("*.png"))):
        file.rename(flat / f"{number}.png")
    with pytest.raises(BadData, match="folders named after their classes"):
        seen_in(flat)
