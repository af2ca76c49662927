"""What is done, stale, failed or missing, and that a file is written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from secondread.core import fingerprints
from secondread.core.errors import BadData
from secondread.core.files import (
    atomic_path,
    clear_abandoned,
    read_json,
    sha256_of_file,
    write_json,
    write_text,
)
from secondread.core.leakage import read_contents
from secondread.core.studydir import StudyDir, Unit, slug
from secondread.core.tables import read_csv, read_dataset, read_table


def unit_of(folder: Path, source: Path, setting: int = 1) -> Unit:
    return Unit("train", "a", folder / "unit", {"setting": setting}, (source,))


def test_a_unit_is_missing_then_done_then_stale(tmp_path: Path) -> None:
    source = tmp_path / "input.txt"
    unit = unit_of(tmp_path, source)
    assert unit.state() == "missing"
    source.write_text("one")
    with unit.work((source,)):
        assert unit.state() == "missing"
        (tmp_path / "unit").mkdir()
    assert unit.state() == "done"
    assert unit_of(tmp_path, source, setting=2).state() == "stale"
    source.write_text("two")
    assert unit.state() == "stale"


def test_an_error_is_remembered_until_the_work_succeeds(tmp_path: Path) -> None:
    source = tmp_path / "input.txt"
    source.write_text("one")
    unit = unit_of(tmp_path, source)
    (tmp_path / "unit").mkdir()
    with pytest.raises(BadData), unit.work():
        raise BadData("no good")
    assert unit.state() == "failed"
    assert read_json(unit.failed_file) == {"error": "no good"}
    assert unit.reason() == "no good"
    with unit.work():
        pass
    assert (unit.state(), unit.reason()) == ("done", "")


def test_another_units_time_does_not_make_stale(tmp_path: Path) -> None:
    source = tmp_path / "input.txt"
    source.write_text("one")
    first = unit_of(tmp_path, source)
    with first.work((source,)):
        pass
    second = Unit("predict", "b", tmp_path / "second", {}, (first.done_file,))
    with second.work():
        pass
    with first.work((source,)):
        pass
    assert second.state() == "done"
    source.write_text("two")
    with first.work((source,)):
        pass
    assert second.state() == "stale"


def test_work_that_is_begun_is_not_done_until_it_ends(tmp_path: Path) -> None:
    source = tmp_path / "input.txt"
    source.write_text("one")
    unit = unit_of(tmp_path, source)
    with unit.work():
        pass
    with pytest.raises(KeyboardInterrupt), unit.work():
        raise KeyboardInterrupt
    assert unit.state() == "missing"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "kept.txt"
    write_text(target, "old")

    def half_written() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_written()
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


KILLED = """
import os, sys
from pathlib import Path
from secondread.core.files import atomic_path
with atomic_path(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""


def test_what_a_killed_process_left_half_written_is_removed_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "below" / "kept.txt"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    subprocess.run([sys.executable, "-c", KILLED, str(target)], env=environment, check=False)
    (half,) = target.parent.iterdir()
    assert half.name.endswith(".part")
    others = [
        tmp_path / name for name in (".elsewhere.txt.abcdef-1.part", "pixels.npy.part", ".before.txt.99999999.part")
    ]
    for path in others:
        path.write_text("another machine's, or no such file at all")
    with atomic_path(target) as ours:
        ours.write_text("whole")
        clear_abandoned(tmp_path)
        assert ours.exists()
    assert {path.name for path in target.parent.iterdir()} == {"kept.txt"}
    assert all(path.exists() for path in others)
    for path in others:
        os.utime(path, (1, 1))
    clear_abandoned(tmp_path)
    assert [path.name for path in others if path.exists()] == ["pixels.npy.part"]


def test_a_folder_that_cannot_be_written_is_bad_data(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadData, match="cannot write"):
        write_json(tmp_path / "file" / "below.json", {})


def test_a_slash_in_a_name_becomes_two_hyphens(tmp_path: Path) -> None:
    where = StudyDir(tmp_path)
    assert slug("arm", "timm/vit", "r0f0s0") == "arm/timm--vit/r0f0s0"
    for path in (where.plan("../../x", 0, 0), where.gan("a/../..", "b/c", 0, 0, 0), where.operating("a", "../x")):
        assert path.resolve().is_relative_to(tmp_path.resolve())


def test_a_file_that_many_units_read_is_hashed_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, hashed = tmp_path / "rows.parquet", []
    write_text(table, "many rows")
    os.utime(table, (1e9, 1e9))
    monkeypatch.setattr(fingerprints, "sha256_of_file", lambda path: (hashed.append(path), sha256_of_file(path))[1])
    units = [Unit("train", f"trial {number}", tmp_path / str(number), {}, [table]) for number in range(20)]
    before = {unit.key() for unit in units}
    assert (len(before), len(hashed)) == (1, 1)
    write_text(table, "more rows")
    os.utime(table, (1e9, 1e9))
    assert before.isdisjoint({unit.key() for unit in units})
    assert len(hashed) == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}"])
def test_a_damaged_record_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    source = tmp_path / "input.txt"
    source.write_text("one")
    first = unit_of(tmp_path, source)
    with first.work():
        pass
    second = Unit("predict", "b", tmp_path / "second", {}, (first.done_file,))
    with second.work():
        pass
    first.done_file.write_text(content)
    assert (first.state(), second.state()) == ("missing", "missing")
    with pytest.raises(BadData, match=r"done.json cannot be read .*delete it"):
        second.key()
    with first.work():
        pass
    assert (first.state(), second.state()) == ("done", "done")


@pytest.mark.parametrize("name", ["left.csv", "points/a.json"])
@pytest.mark.parametrize("harm", ["gone", "empty", "folder"])
def test_a_file_that_was_lost_is_made_again(
    tmp_path: Path, name: str, harm: str, capfd: pytest.CaptureFixture[str]
) -> None:
    unit = Unit("evaluate", "scores", tmp_path, {})
    left, beside = tmp_path / "left.csv", tmp_path / "points" / "a.json"
    for path in (left, beside):
        write_text(path, "1,2")
    with unit.work([left], [beside]):
        pass
    assert unit.state() == "done"
    (tmp_path / name).unlink()
    if harm != "gone":
        (tmp_path / name).mkdir() if harm == "folder" else (tmp_path / name).write_text("")
    assert unit.state() == "missing"
    with suppress(BadData), unit.work():
        pass
    assert f"evaluate scores: {name} is gone or was changed; made again" in capfd.readouterr().err


def test_what_an_early_version_left_needs_no_sizes(tmp_path: Path) -> None:
    unit = Unit("evaluate", "scores", tmp_path, {})
    write_text(tmp_path / "left.csv", "1,2")
    with unit.work([tmp_path / "left.csv"]):
        pass
    told = read_json(unit.done_file)
    write_json(unit.done_file, {name: value for name, value in told.items() if name != "sizes"})
    assert unit.state() == "done"
    (tmp_path / "left.csv").unlink()
    assert unit.state() == "missing"


def test_damaged_tables_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.parquet").mkdir()
    for name, read in (("a.parquet", read_table), ("folder.parquet", read_table), ("b.csv", read_csv),
                       ("d.json", read_dataset), ("c.json", read_contents)):  # fmt: skip
        path = tmp_path / name
        if not path.exists():
            path.write_text("{}" if path.suffix == ".json" else "")
        with pytest.raises(BadData, match=rf"{name} cannot be read .*delete it, and `secondread run` makes it again"):
            read(path)
