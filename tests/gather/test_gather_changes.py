"""Files added, removed or changed since they were gathered are gathered again; data out of reach change nothing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import parse_study
from secondread.core.tables import read_table
from secondread.gather import changes, run


def picture(path: Path, grey: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), grey, np.uint8)).save(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for k in range(6):
        picture(tmp_path / "data" / "images" / ("a", "b")[k % 2] / f"{k}.png", k)
    return tmp_path / "data"


def asked(**gather: Any) -> Study:
    return parse_study({"study": "s", "gather": {"source": {"name": "auto", "root": "images"}} | gather})


def state(data: Path | None, study: Study | None = None) -> str:
    """As a new command sees it."""
    where = StudyDir((data or Path()).parent / "out", data)
    return run.units(study or asked(), where)[0].state()


def gathered(data: Path, study: Study | None = None) -> list[str]:
    where = StudyDir(data.parent / "out", data)
    run.run(study or asked(), where)
    return list(read_table(where.rows)["row_id"])


def test_what_changed_is_gathered_again_and_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gathered(data)
    assert state(data) == "done"
    assert "changed" not in capsys.readouterr().err
    picture(data / "images" / "a" / "new.png", 90)
    (data / "images" / "b" / "1.png").unlink()
    picture(data / "images" / "a" / "0.png", 91)
    assert state(data) == "stale"
    assert "a/new.png" in gathered(data)
    assert "images: 1 added, 1 removed, 1 changed" in capsys.readouterr().err
    assert state(data) == "done"


def test_new_times_alone_make_the_same_table(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gathered(data)
    before = (data.parent / "out" / "gather" / "rows.parquet").read_bytes()
    os.utime(data / "images" / "a" / "0.png", (1, 1))
    assert state(data) == "stale"
    gathered(data)
    assert "no image was added, removed or changed" in capsys.readouterr().err
    assert (data.parent / "out" / "gather" / "rows.parquet").read_bytes() == before


def test_data_that_are_not_there_leave_a_study_done(data: Path) -> None:
    gathered(data)
    images = data / "images"
    images.rename(data / "elsewhere")
    assert state(data) == "done"
    images.mkdir()  # where nothing is mounted
    assert state(data) == "done"


def test_what_no_source_reads_makes_nothing_stale(data: Path) -> None:
    """Nor does a study directory among the data, which is not gathered either."""
    gathered(data)
    (data / "images" / "notes.docx").write_text("…")
    (data / "images" / ".hidden.png").write_text("…")
    shutil.copytree(data.parent / "out", data / "images" / "run")
    (data / "images" / "run" / "study.yaml").write_text("study: s")
    (data / "images" / "a" / "again").symlink_to(data / "images", target_is_directory=True)
    (data / "images" / "run" / "more.png").write_text("…")
    assert state(data) == "done"


def test_each_external_set_is_looked_at_by_itself(data: Path) -> None:
    shutil.copytree(data / "images", data / "other")
    study = asked(external=[{"name": "other", "source": {"name": "auto", "root": "other"}}])
    gathered(data, study)
    picture(data / "other" / "a" / "new.png", 90)
    units = run.units(study, StudyDir(data.parent / "out", data))
    assert [unit.state() for unit in units] == ["done", "stale"]


def test_files_are_listed_once_per_command(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered(data)
    listed = []
    whole = changes.digest_of_files
    monkeypatch.setattr(changes, "digest_of_files", lambda root: listed.append(root) or whole(root))
    where = StudyDir(data.parent / "out", data)
    for _ in range(3):
        run.run(asked(), where)
        assert run.units(asked(), where)[0].state() == "done"
    assert len(listed) == 1


def test_a_study_of_before_stays_done(data: Path) -> None:
    """Its record does not say what the files were."""
    from secondread.core.files import read_json, write_json

    gathered(data)
    record = data.parent / "out" / "gather" / "rows.done.json"
    write_json(record, {name: value for name, value in read_json(record).items() if name != "files"})
    picture(data / "images" / "a" / "new.png", 90)
    assert state(data) == "done"
