"""A running site for the benchmarks: started as users start it, asked over HTTP, watched from outside."""

from __future__ import annotations

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

EDGE = b"--edge\r\n"
BETWEEN = (
    b'Content-Disposition: form-data; name="image"; filename="x"\r\nContent-Type: application/octet-stream\r\n\r\n'
)


@dataclass
class Answer:
    status: int
    body: bytes
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One keep-alive connection with a token."""

    def __init__(self, port: int, token: str = "", timeout: float = 60.0) -> None:
        self.port, self.token, self.timeout = port, token, timeout
        self.connection: http.client.HTTPConnection | None = None

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """One answer; raises `OSError` when there is none."""
        told = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        told |= {name.replace("_", "-"): value for name, value in headers.items()}
        started = time.perf_counter()
        for fresh in (False, True):
            if self.connection is None or fresh:
                self.close()
                self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self.timeout)
                fresh = True
            try:
                self.connection.request(method, path, body or None, told)
                answer = self.connection.getresponse()
                content = answer.read()
            except (http.client.HTTPException, OSError) as error:
                self.close()
                # a connection that was kept may have been closed meanwhile; only then, and only unanswered, try again
                if fresh or not isinstance(
                    error, http.client.RemoteDisconnected | BrokenPipeError | ConnectionResetError
                ):
                    raise error if isinstance(error, OSError) else OSError(str(error)) from error
                continue
            return Answer(answer.status, content, time.perf_counter() - started, dict(answer.getheaders()))
        raise OSError("no answer")

    def send(self, content: bytes, wait: float = 20.0, form: bool = False) -> Answer:
        """One file, as the body or in a form."""
        body = EDGE + BETWEEN + content + b"\r\n--edge--\r\n" if form else content
        kind = "multipart/form-data; boundary=edge" if form else "application/octet-stream"
        return self.ask("POST", f"/api/reads?wait={wait}", body, Content_Type=kind)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Site:
    """`secondread serve` with its data in `folder`."""

    def __init__(self, bundle: Path, folder: Path, workers: int = 0, database: str = "", **settings: str) -> None:
        self.bundle, self.folder, self.database = bundle, folder, database
        self.workers = workers or len(os.sched_getaffinity(0))
        self.settings = settings
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.seconds_to_start = 0.0

    @property
    def environment(self) -> dict[str, str]:
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith(("SECONDREAD", "DJANGO", "DATABASE"))}  # fmt: skip
        clean |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "SECONDREAD_FOLDER": str(self.folder),
                  "DJANGO_SETTINGS_MODULE": "secondread.serve.settings", "SECONDREAD_LOG": "ERROR"}  # fmt: skip
        return clean | ({"DATABASE_URL": self.database} if self.database else {}) | self.settings

    def start(self) -> None:
        command = (
            "from pathlib import Path; from secondread.serve.run import serve; "
            f"serve([Path({str(self.bundle)!r})], port={self.port}, data_folder=Path({str(self.folder)!r}), "
            f"workers={self.workers})"
        )
        log = open(self.folder.with_suffix(".log"), "ab")  # noqa: SIM115  the process keeps it
        started = time.perf_counter()
        self.process = subprocess.Popen([sys.executable, "-c", command], env=self.environment, stdout=log, stderr=log)
        log.close()
        self._await("/", 60.0)
        self.seconds_to_start = time.perf_counter() - started
        self._await("/health/ready", 60.0)

    def _await(self, path: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if Client(self.port, timeout=5.0).ask("GET", path).status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.02)
        raise SystemExit(f"the site did not answer {path}: {self.folder.with_suffix('.log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(60)

    def inside(self, code: str) -> str:
        """What `code` prints with the site's own settings and database."""
        told = subprocess.run([sys.executable, "-c", "import django; django.setup()\n" + code], env=self.environment,
                              capture_output=True, text=True, check=False)  # fmt: skip
        if told.returncode:
            raise SystemExit(told.stderr[-2000:])
        return told.stdout

    def token(self, name: str = "bench") -> str:
        return self.inside(
            "from secondread.serve.accounts.models import User\n"
            "from secondread.serve.accounts.tokens import new_token\n"
            f"print(new_token(User.objects.get_or_create(username={name!r})[0], 'bench')[1])"
        ).strip()

    def processes(self) -> dict[int, str]:
        """Every process of the site and what it is: web, worker, jail or site."""
        assert self.process is not None
        return {pid: kind_of(command) for pid, command in family(self.process.pid).items()}

    def kill(self, kind: str, pick: int) -> bool:
        """Kill -9 one process of a kind."""
        pids = sorted(pid for pid, found in self.processes().items() if found == kind)
        if not pids:
            return False
        try:
            os.kill(pids[pick % len(pids)], signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True

    def processor(self) -> dict[str, float]:
        """Seconds of processor time that the site's processes have had, by what they are; those that a process outlived
        count as its own."""
        taken: dict[str, float] = {}
        for pid, kind in self.processes().items():
            with suppress(FileNotFoundError, ProcessLookupError):
                fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                taken[kind] = taken.get(kind, 0.0) + sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return taken

    def resident(self) -> int:
        """Bytes of memory of all processes of the site."""
        assert self.process is not None
        return resident(self.process.pid)


def resident(pid: int) -> int:
    """Bytes of memory of a process and all below it."""
    total = 0
    for one in family(pid):
        try:
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total


def kind_of(command: str) -> str:
    for kind, mark in (("worker", "reads.worker"), ("jail", "reads.jailed"), ("web", "serve.web"), ("web", "gunicorn")):
        if mark in command:
            return kind
    return "site"


def family(pid: int) -> dict[int, str]:
    """A process and all below it, by command line."""
    parents: dict[int, list[int]] = {}
    commands = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            commands[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        parents.setdefault(parent, []).append(int(entry.name))
    found, todo = {}, [pid]
    while todo:
        one = todo.pop()
        if one in commands:
            found[one] = commands[one]
        todo += parents.get(one, [])
    return found


@contextmanager
def running(bundle: Path, folder: Path, **options: Any) -> Iterator[Site]:
    site = Site(bundle, folder, **options)
    site.start()
    try:
        yield site
    finally:
        site.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return int(tried.getsockname()[1])


class Pictures:
    """Different grey pictures without end: one drawn slowly, the others with a few pixels of their own."""

    def __init__(self, side: int = 1024, seed: int = 0) -> None:
        drawn = np.random.default_rng(seed)
        across = np.linspace(-1, 1, side)
        shape = 200 * np.exp(-(across[:, None] ** 2 + across[None] ** 2) / 0.3)
        self.pixels = np.clip(shape + drawn.normal(0, 6, (side, side)), 0, 255).astype(np.uint8)
        self.count = seed << 20

    def next(self) -> bytes:
        self.count += 1
        pixels = self.pixels.copy()
        pixels[0, :8] = np.frombuffer(self.count.to_bytes(8, "little"), np.uint8)
        written = io.BytesIO()
        Image.fromarray(pixels).save(written, "PNG", compress_level=1)
        return written.getvalue()

    def many(self, count: int) -> list[bytes]:
        return [self.next() for _ in range(count)]
