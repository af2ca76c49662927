"""A study without its data runs on a phantom in the tree of the public set that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.core.studydir import StudyDir
from secondread.core.studyfile import load_study, parse_study, save_study
from secondread.core.tables import read_table
from secondread.core.trials import trials
from secondread.images.phantom import PhantomSpec, write_phantom
from secondread.pipeline import open_study, run
from secondread.smoke import TREES, smoke_of


@pytest.fixture(autouse=True)
def no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECONDREAD_DATA", raising=False)


STUDIES = Path(__file__).parents[2] / "studies"


@pytest.mark.parametrize("root", sorted(TREES))
def test_every_public_tree_is_gathered_by_a_study_of_ours(root: str, tmp_path: Path) -> None:
    path = next(path for path in sorted(STUDIES.glob("*.yaml")) if root in _roots(path))
    study, where = open_study(path, None, tmp_path / "study", smoke=True)
    run(study, where, ("gather", "prepare"))
    assert where.splits.exists()
    assert (tmp_path / "phantoms" / root).is_dir()


def test_studies_of_several_public_sets_are_tried_in_one_process(tmp_path: Path) -> None:
    own = [root for root, tree in TREES.items() if tree.own_folder]
    for root in own:
        smoke_of(load_study(next(path for path in STUDIES.glob("*.yaml") if root in _roots(path))), None, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(own)


def test_every_study_names_a_public_tree_or_draws_its_own() -> None:
    for path in STUDIES.glob("*.yaml"):
        assert set(_roots(path)) & set(TREES) or load_study(path).gather.source.name == "phantom", path.name


OWN = {
    "a table": {"source": {"name": "table", "root": "x", "file": "my.csv", "label": "Diagnosis"}, "patient": "Case"},
    "classes": {"source": {"name": "class_folders", "root": "x"}, "labels": {"sick": ["flu", "cold"]},
                "external": [{"name": "e", "source": {"name": "class_folders", "root": "y"}}]},
}  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_study_of_data_that_only_its_owner_has_is_tried_without_their_names(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written = {
        "study": "x", "gather": OWN[name], "prepare": {"split": "official"}, "train": {"models": ["plain_cnn"]},
        "synthesize": {"for": ["flu"]}, "evaluate": {"threshold": {"name": "cost", "cost": [[0, 1], [2, 0]]}},
    }  # fmt: skip
    tiny, data = smoke_of(parse_study(written), None, tmp_path / "phantoms")
    where = StudyDir(tmp_path / "study", data)
    run(tiny, where, ("gather",))
    assert len(read_table(where.rows)) == 160
    assert (tiny.synthesize.for_classes, tiny.prepare.split.name) == ("minority", "grouped")
    assert tiny.evaluate.threshold.cost is None
    assert "a phantom stands in" in capsys.readouterr().err


def test_a_phantom_that_is_named_without_options_is_made_small_too(tmp_path: Path) -> None:
    tiny, _ = smoke_of(parse_study({"study": "x", "gather": {"source": "phantom"}}), tmp_path, tmp_path)
    assert tiny.gather.source.options == {"n": 160, "size": 64}


def test_a_study_that_draws_its_own_images_is_tried_in_an_empty_folder(tmp_path: Path) -> None:
    study, where = open_study(STUDIES / "gan_phantom.yaml", None, tmp_path / "study", smoke=True)
    run(study, where, ("gather",))
    assert len(read_table(where.rows)) == 160


@pytest.mark.parametrize("said", ["by the environment", "by an absolute path"])
def test_data_that_are_here_are_tried_however_they_were_named(
    said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A plan names its folder by its whole path; `--data` may be left out then, and where the variable is set."""
    write_phantom(PhantomSpec("cxr-binary", n=12, size=32), tmp_path / "data" / "mine", "folder", workers=1)
    root = "mine"
    if said == "by the environment":
        monkeypatch.setenv("SECONDREAD_DATA", str(tmp_path / "data"))
    else:
        root = str(tmp_path / "data" / "mine")
    file = tmp_path / "study.yaml"
    save_study(parse_study({"study": "x", "gather": {"source": {"name": "auto", "root": root}}}), file)
    study, where = open_study(file, None, tmp_path / "study", smoke=True)
    run(study, where, ("gather",))
    assert len(read_table(where.rows)) == 12
    assert "phantom stands in" not in capsys.readouterr().err


def test_every_arm_and_every_model_is_tried_though_not_each_in_all_others(tmp_path: Path) -> None:
    written = {
        "study": "x", "gather": {"source": {"name": "phantom"}}, "evaluate": {"baseline": "b"},
        "train": {"models": ["plain_cnn", "resnet18", "alexnet"]},
        "arms": {"a": {}, "b": {}, "c": {"train": {"models": ["vgg16", "resnet18"]}}},
    }  # fmt: skip
    tiny, data = smoke_of(parse_study(written), None, tmp_path)
    found = {f"{trial.arm}/{trial.model.label}" for trial in trials(tiny, StudyDir(tmp_path, data))}
    assert found == {"a/plain_cnn", "b/plain_cnn", "b/resnet18", "b/alexnet", "c/vgg16", "c/resnet18"}
    named, _ = smoke_of(parse_study(written | {"export": {"pick": "a/alexnet"}}), None, tmp_path)
    assert len(list(trials(named, StudyDir(tmp_path, data)))) == 8


def _roots(path: Path) -> list[str]:
    root = load_study(path).gather.source.options.get("root", [])
    return root if isinstance(root, list) else [root]
