"""A finished study, trained once for this folder."""

from __future__ import annotations

import pytest

from export.finished_study import Finished, finished_study
from secondread.export import run


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Two seeds, the picked one exported."""
    made = finished_study(tmp_path_factory.mktemp("exported"), seeds=2, steps=30)
    run.run(made.study, made.where)
    return made
