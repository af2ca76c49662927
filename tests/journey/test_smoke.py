"""A study without its data runs on a phantom in the tree of the public set that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.core.studydir import StudyDir
from secondread.core.studyfile import load_study, parse_study
from secondread.core.trials import trials
from secondread.pipeline import open_study, run
from secondread.smoke import TREES, smoke_of

STUDIES = Path(__file__).parents[2] / "studies"


@pytest.mark.parametrize("root", sorted(TREES))
def test_every_public_tree_is_gathered_by_a_study_of_ours(root: str, tmp_path: Path) -> None:
    path = next(path for path in sorted(STUDIES.glob("*.yaml")) if root in _roots(path))
    study, where = open_study(path, None, tmp_path / "study", smoke=True)
    run(study, where, ("gather", "prepare"))
    assert where.splits.exists()
    assert (tmp_path / "phantoms" / root).is_dir()


def test_every_study_names_a_public_tree_or_draws_its_own() -> None:
    for path in STUDIES.glob("*.yaml"):
        assert set(_roots(path)) & set(TREES) or load_study(path).gather.source.name == "phantom", path.name


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
