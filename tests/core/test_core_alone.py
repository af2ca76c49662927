"""Two processes at once: one waits for the other and finds its work done."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.small_study import small_study

from secondread import pipeline
from secondread.core.alone import alone
from secondread.core.errors import BadData
from secondread.core.studydir import StudyDir
from secondread.images.cache import CacheItem, build_cache, cache_key
from secondread.images.decode import PixelSpec
from secondread.images.phantom import PhantomSpec, write_phantom

HOLD = "import sys, pathlib; from secondread.core.alone import alone\n" \
       "with alone(pathlib.Path(sys.argv[1]), 'it'): print('held', flush=True); sys.stdin.read()"  # fmt: skip


class Meanwhile:
    """Work in a thread, whose words are heard: another process as far as locks of files go."""

    def __init__(self, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
        self.waits = threading.Event()
        self.told: list[str] = []
        self.failed: list[BaseException] = []
        monkeypatch.setattr("secondread.core.alone.say", self._hear)
        self.thread = threading.Thread(target=self._do, args=(work,))
        self.thread.start()

    def _hear(self, words: str) -> None:
        self.told.append(words)
        self.waits.set()

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self.failed.append(error)

    def ended(self) -> None:
        self.thread.join(60)
        assert not self.failed


def test_who_is_second_waits_and_says_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, order = tmp_path / "new" / "lock", []

    def second() -> None:
        with alone(lock, "the step prepare"):
            order.append("second")

    with alone(lock, "the step prepare"):
        other = Meanwhile(second, monkeypatch)
        assert other.waits.wait(60)
        order.append("first")
    other.ended()
    assert order == ["first", "second"]
    assert other.told == ["waits for another process that is at the step prepare"]


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdin is not None
    assert holder.stdout.readline() == b"held\n"
    holder.kill()
    holder.wait()
    holder.stdout.close()
    holder.stdin.close()
    with alone(lock, "it"):
        pass


def test_a_file_system_without_locks_keeps_nobody_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", unknown)
    with alone(tmp_path / "lock", "it"), alone(tmp_path / "lock", "it"):
        pass


def test_a_step_that_two_commands_come_to_is_done_once(tmp_path: Path) -> None:
    write_phantom(PhantomSpec(preset="cxr-binary", n=40, size=32, seed=5), tmp_path / "images", "folder")
    source = {"source": {"name": "class_folders", "root": "images"}}
    study = small_study(tmp_path / "study", {}, gather=source, prepare={"checks": []})
    failed: list[BaseException] = []

    def run() -> None:
        try:
            pipeline.run(study, StudyDir(tmp_path / "study", tmp_path), ("gather", "prepare"))
        except BaseException as error:
            failed.append(error)

    both = [threading.Thread(target=run) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join(60)
    assert not failed
    assert len(StudyDir(tmp_path / "study").test_reads.read_text().splitlines()) == 1  # one audit


def test_a_pixel_cache_is_filled_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((32, 32), 200, np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    items, spec = [CacheItem("a.png", tmp_path / "a.png", -1, "a")], PixelSpec(32, "stretch", 1, "full_range", 0.0)
    path = tmp_path / f"{cache_key(items, spec)}.npy"
    with alone(path.with_suffix(".lock"), "it"):
        other = Meanwhile(lambda: build_cache(items, spec, tmp_path), monkeypatch)
        assert other.waits.wait(60)
        assert not path.with_suffix(".npy.part").exists()
    other.ended()
    assert (build_cache(items, spec, tmp_path).take(["a.png"])[0] == picture).all()


@pytest.mark.parametrize("harm", ["", "half", "{}"])
def test_a_damaged_pixel_cache_is_named_and_made_again_when_removed(tmp_path: Path, harm: str) -> None:
    Image.fromarray(np.full((32, 32), 200, np.uint8)).save(tmp_path / "a.png")
    items, spec = [CacheItem("a.png", tmp_path / "a.png", -1, "a")], PixelSpec(32, "stretch", 1, "full_range", 0.0)
    path = build_cache(items, spec, tmp_path).path
    if harm == "{}":
        path.with_suffix(".json").write_text(harm)
    else:
        path.write_bytes(path.read_bytes()[: 600 if harm else 0])
    with pytest.raises(BadData, match=rf"{path.name} cannot be read .*delete it"):
        build_cache(items, spec, tmp_path)
    path.unlink()
    assert len(build_cache(items, spec, tmp_path).pixels) == 1
