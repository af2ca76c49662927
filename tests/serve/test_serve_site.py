"""The whole site as one command: its processes, what happens when they are killed, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from serve_pictures import disc, png

from secondread.core.errors import WrongRequest
from secondread.serve import run

HEAD = 'Content-Disposition: form-data; name="image"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'


def token_of(folder: Path) -> str:
    """A user and a token, made from outside the web server as an operator's script would."""
    made = (
        "import django; django.setup()\n"
        "from secondread.serve.accounts.models import User\n"
        "from secondread.serve.accounts.tokens import new_token\n"
        "print(new_token(User.objects.get_or_create(username='robot')[0], 'robot')[1])"
    )
    environment = os.environ | {
        "SECONDREAD_FOLDER": str(folder), "DJANGO_SETTINGS_MODULE": "secondread.serve.settings",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }  # fmt: skip
    environment.pop("DATABASE_URL", None)
    return subprocess.run([sys.executable, "-c", made], env=environment, capture_output=True, text=True,
                          check=True).stdout.strip()  # fmt: skip


def send(site: Any, token: str, content: bytes, wait: int = 20) -> tuple[int, Any]:
    body = b"--edge\r\n" + HEAD.encode() + content + b"\r\n--edge--\r\n"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "multipart/form-data; boundary=edge"}
    status, told = site.ask(urllib.request.Request(f"{site.address}/api/reads?wait={wait}", body, headers))
    return status, json.loads(told)


def children(pid: int) -> dict[int, str]:
    """Processes below this one, by what they run."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if parent == pid:
                found[int(entry.name)] = command
                found |= children(int(entry.name))
    return found


@pytest.fixture(scope="module")
def token(running_site: Any) -> str:
    return token_of(running_site.folder)


def test_an_image_is_read_and_the_folder_is_private(running_site: Any, token: str) -> None:
    status, told = send(running_site, token, png(disc(70)))
    assert (status, told["reads"][0]["status"]) == (200, "read")
    assert running_site.folder.joinpath("secret.key").stat().st_mode & 0o777 == 0o600
    for path in running_site.folder.rglob("*.npz"):
        assert path.stat().st_mode & 0o077 == 0
    with sqlite3.connect(running_site.folder / "secondread.sqlite3") as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


def test_no_process_of_the_site_has_loaded_torch(running_site: Any) -> None:
    for pid in children(running_site.process.pid):
        try:
            maps = Path(f"/proc/{pid}/maps").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        assert "libtorch" not in maps


def test_workers_stand_back_for_the_web_server(running_site: Any) -> None:
    nice = {
        what: [
            os.getpriority(os.PRIO_PROCESS, pid)
            for pid, told in children(running_site.process.pid).items()
            if what in told
        ]
        for what in ("serve.reads.worker", "serve.web")
    }
    assert nice["serve.reads.worker"]
    assert min(nice["serve.reads.worker"]) > max(nice["serve.web"])


@pytest.mark.parametrize("what", ["serve.reads.worker", "serve.web", "serve.reads.jailed"])
def test_what_is_killed_comes_back_and_nothing_is_lost(running_site: Any, token: str, what: str) -> None:
    status, told = send(running_site, token, png(disc(71)))
    assert status == 200
    for pid, command in children(running_site.process.pid).items():
        if what in command:
            os.kill(pid, signal.SIGKILL)
    running_site.await_ready()
    deadline = time.monotonic() + 60
    while True:
        try:
            status, again = send(running_site, token, png(disc(72 + len(what))))
        except OSError:
            status = 0
        if status == 200 and again["reads"][0]["status"] == "read":
            break
        assert time.monotonic() < deadline
        time.sleep(0.2)
    status, kept = running_site.get(f"/api/reads/{told['reads'][0]['id']}", {"Authorization": f"Bearer {token}"})
    assert (status, json.loads(kept)["status"]) == (200, "read")


def test_ports_and_bundles_that_will_not_do_are_refused(running_site: Any, bundle_path: Path, tmp_path: Path) -> None:
    with pytest.raises(WrongRequest, match="choose another with --port"):
        run._check_port("127.0.0.1", running_site.port)
    (tmp_path / "none.zip").write_bytes(b"no bundle")
    start = (
        "import sys; from pathlib import Path; from secondread.core.errors import SecondreadError\n"
        "from secondread.serve.run import serve\n"
        "try: serve([Path(sys.argv[1])], port=int(sys.argv[2]), data_folder=Path(sys.argv[3]))\n"
        "except SecondreadError as error: print(error); sys.exit(error.exit_code)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    told = subprocess.run([sys.executable, "-c", start, tmp_path / "none.zip", "1", tmp_path / "data"],
                          env=environment, capture_output=True, text=True, check=False)  # fmt: skip
    assert told.returncode == 2
    assert "Traceback" not in told.stderr


def test_ending_the_command_ends_every_process(another_site: Any) -> None:
    below = children(another_site.process.pid)
    assert len(below) >= 3
    another_site.process.send_signal(signal.SIGTERM)
    another_site.process.wait(30)
    assert not any(Path(f"/proc/{pid}").exists() and "secondread" in command for pid, command in below.items())
    assert not list((another_site.folder / "bells").glob("work-*"))
