"""A study without its data runs on a phantom in the tree of the public set that it names."""

from __future__ import annotations

from pathlib import Path

import pytest

from secondread.core.studyfile import load_study
from secondread.pipeline import open_study, run
from secondread.smoke import TREES

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


def _roots(path: Path) -> list[str]:
    root = load_study(path).gather.source.options.get("root", [])
    return root if isinstance(root, list) else [root]
