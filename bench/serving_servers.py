"""Database servers of the bench's own, in temporary folders: these may be killed, those that were there may not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.serving_site import free_port


class Server:
    """A PostgreSQL or MariaDB server in `folder`, with an empty database `secondread`."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.port = kind, folder, free_port()
        self.user = "postgres" if kind == "postgres" and os.geteuid() == 0 else None
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        if self.kind == "postgres":
            return f"postgres://{self.user or os.environ.get('USER', 'root')}@127.0.0.1:{self.port}/secondread"
        return f"mysql://root@127.0.0.1:{self.port}/secondread"

    @staticmethod
    def missing(kind: str) -> str:
        """Why a server of this kind cannot be started here; empty when it can."""
        driver = "psycopg" if kind == "postgres" else "MySQLdb"
        if importlib.util.find_spec(driver) is None:
            return f"the driver {driver} is not installed"
        needed = _postgres("initdb") if kind == "postgres" else shutil.which("mariadb-install-db")
        return "" if needed else f"{kind} is not installed"

    def create(self) -> None:
        self.folder.mkdir(parents=True)
        if self.user:
            shutil.chown(self.folder, self.user)
        if self.kind == "postgres":
            self._run(_postgres("initdb"), "-D", str(self.folder / "data"), "-A", "trust", "-N")
        else:
            self._run("mariadb-install-db", "--no-defaults", f"--datadir={self.folder / 'data'}", "--user=root",
                      "--auth-root-authentication-method=normal", "--skip-test-db")  # fmt: skip
        self.start()
        made = "CREATE DATABASE secondread"
        if self.kind == "postgres":
            self._run("psql", "-h", "127.0.0.1", "-p", str(self.port), "-d", "postgres", "-c", made)
        else:
            self._run(
                "mariadb", "-h", "127.0.0.1", "-P", str(self.port), "-u", "root", "-e", made + " CHARACTER SET utf8mb4"
            )

    def start(self) -> None:
        if self.kind == "postgres":
            command = [_postgres("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), "-h", "127.0.0.1",
                       "-k", str(self.folder)]  # fmt: skip
        else:
            command = ["mariadbd", "--no-defaults", f"--datadir={self.folder / 'data'}", f"--port={self.port}", "--bind-address=127.0.0.1",  # noqa: E501
                       f"--socket={self.folder / 'sock'}", "--user=root", "--innodb-flush-log-at-trx-commit=1"]  # fmt: skip  # noqa: E501
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(command, user=self.user, stdout=log, stderr=log)
        self._await()

    def kill(self) -> None:
        """Kill -9, as a machine that loses power would."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for child in self._left():
            os.kill(child, signal.SIGKILL)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT if self.kind == "postgres" else signal.SIGTERM)
            self.process.wait(30)

    def _left(self) -> list[int]:
        """Children of a killed PostgreSQL, known by their data folder."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.readlink(entry / "cwd") == str(self.folder / "data"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found

    def _await(self) -> None:
        client = ["psql", "-h", "127.0.0.1", "-p", str(self.port), "-d", "postgres", "-c", "select 1"]
        if self.kind != "postgres":
            client = ["mariadb", "-h", "127.0.0.1", "-P", str(self.port), "-u", "root", "-e", "select 1"]
        deadline = time.monotonic() + 60
        while subprocess.run(client, user=self.user, capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise SystemExit(f"{self.kind} did not start: {(self.folder / 'log').read_text()[-1000:]}")
            time.sleep(0.1)

    def _run(self, *command: str) -> None:
        told = subprocess.run(command, user=self.user, capture_output=True, text=True, check=False, cwd="/")
        if told.returncode:
            raise SystemExit(f"{command[0]}: {told.stderr[-1000:]}")


@contextmanager
def database(kind: str, scratch: Path) -> Iterator[Server | None]:
    """A fresh server for as long as the block lasts; None for SQLite."""
    if kind == "sqlite":
        yield None
        return
    if reason := Server.missing(kind):
        raise SystemExit(f"{reason}; leave it out with --databases")
    server = Server(kind, scratch / kind)
    shutil.rmtree(server.folder, ignore_errors=True)
    server.create()
    try:
        yield server
    finally:
        server.stop()


def _postgres(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name) or ""
