"""A full disk, a folder that may not be written, Ctrl-C: short messages, exit codes, and nothing earlier lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from secondread.images.phantom import PhantomSpec, write_phantom

STUDY = {
    "study": "interrupted",
    "gather": {"source": {"name": "class_folders", "root": "images"}},
    "train": {"models": ["plain_cnn"], "size": 32, "epochs": 2, "batch": 16},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("interrupted")
    write_phantom(PhantomSpec(preset="cxr-binary", n=100, size=48, seed=5), made / "images", "folder")
    (made / "study.yaml").write_text(yaml.safe_dump(STUDY))
    return made


def words(folder: Path, out: Path, step: str = "run") -> list[str]:
    return [
        sys.executable,
        "-m",
        "secondread",
        step,
        str(folder / "study.yaml"),
        "--data",
        str(folder),
        "--out",
        str(out),
    ]


def last_line(told: str) -> str:
    return [line for line in told.splitlines() if line.startswith("secondread: ")][-1]


def _hear_ctrl_c() -> None:
    """Tests that were started in the background inherit a SIGINT that is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_says_one_line_and_the_same_command_goes_on(folder: Path) -> None:
    running = subprocess.Popen(
        words(folder, folder / "out"), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        preexec_fn=_hear_ctrl_c,
    )  # fmt: skip
    assert running.stderr is not None
    told = []
    for line in running.stderr:
        told.append(line)
        if line.startswith("── train"):
            running.send_signal(signal.SIGINT)
    assert running.wait() == 130
    running.stderr.close()
    assert "goes on from there" in last_line("".join(told))
    assert "Traceback" not in "".join(told)
    done = {path: path.stat().st_mtime_ns for path in (folder / "out" / "prepare").glob("*done.json")}
    assert done
    again = subprocess.run(words(folder, folder / "out", "train"), capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert all(path.stat().st_mtime_ns == before for path, before in done.items())


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs a mount of its own (root)")
def test_a_full_disk_is_told_and_earlier_results_stay(folder: Path) -> None:
    out = folder / "small"
    out.mkdir()
    inside = " ".join(f"'{word}'" for word in words(folder, out))
    script = f"mount -t tmpfs -o size=100k tmpfs '{out}' || exit 77; {inside}; code=$?; ls '{out}/gather'; exit $code"
    ended = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if ended.returncode == 77:
        pytest.skip("this machine allows no mount")
    assert ended.returncode == 3, ended.stderr
    assert "space" in last_line(ended.stderr)
    assert "Traceback" not in ended.stderr
    assert "rows.parquet" in ended.stdout


def test_the_report_comes_when_a_later_step_fails(folder: Path) -> None:
    out = folder / "barred"
    done = subprocess.run(words(folder, out, "gather"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (out / "export").write_text("a file where the step wants a folder")
    ended = subprocess.run(words(folder, out), capture_output=True, text=True, check=False)
    assert ended.returncode == 3, ended.stderr
    assert "Not a directory" in last_line(ended.stderr)
    assert "Traceback" not in ended.stderr
    assert (out / "evaluate" / "report.html").exists()


def test_a_folder_that_may_not_be_written_is_told(folder: Path) -> None:
    ended = subprocess.run(words(folder, Path("/proc/secondread")), capture_output=True, text=True, check=False)
    assert ended.returncode == 3, ended.stderr
    assert "/proc/secondread" in last_line(ended.stderr)
    assert "Traceback" not in ended.stderr
