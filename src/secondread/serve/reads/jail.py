"""Handing files to the decoding process of this web process, and bearing with whatever becomes of it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings

from secondread.images.decode import Refusal
from secondread.serve.reads.places import FULL, OutOfSpace

KEEPER = "secondread.serve.reads.jailed"
KEEPER_DEATH_SECONDS = 0.2
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}
"""Children keep the pages of one image for the next: asking the kernel for zeroed ones each time costs milliseconds."""


class Jail:
    """One keeper process, started when first needed and again when it died."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.keeper: subprocess.Popen[bytes] | None = None
        self.folder: tempfile.TemporaryDirectory[str] | None = None
        self.pid = 0

    def ask(self, task: dict[str, Any]) -> dict[str, Any]:
        """The keeper's answer; raises `Refusal`, also when the child died of its limits, and `OutOfSpace`."""
        limits = settings.LIMITS
        whole = task | {"memory": limits.decode_memory, "seconds": limits.decode_seconds}
        reply = self._exchange(json.dumps(whole).encode() + b"\n", 3.0 * limits.decode_seconds)
        if not reply:
            raise Refusal("too_costly", "decoding this file takes more memory or time than is allowed")
        answer: dict[str, Any] = json.loads(reply)
        if "refusal" in answer:
            raise Refusal(**answer["refusal"])
        if "fault" in answer:
            if answer["fault"] in FULL:
                raise OutOfSpace
            raise Refusal("damaged", "the file cannot be read")
        return answer

    def close(self) -> None:
        with self.lock:
            self._stop()

    def _exchange(self, message: bytes, seconds: float) -> bytes:
        """The reply; empty when the child died of the file. Had the keeper died, the file would not be to blame."""
        for _ in range(3):
            address, keeper = self._running()
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(seconds)
                try:
                    connection.connect(address)
                except (ConnectionRefusedError, FileNotFoundError):
                    continue  # the keeper died since we looked
                with suppress(ConnectionResetError, TimeoutError, BrokenPipeError):
                    connection.sendall(message)
                    if reply := _everything(connection):
                        return reply
            if not _died(keeper):
                break
        return b""

    def _running(self) -> tuple[str, subprocess.Popen[bytes]]:
        with self.lock:
            alive = self.keeper is not None and self.keeper.poll() is None and self.pid == os.getpid()
            if not alive:
                self._start()
            assert self.folder is not None
            assert self.keeper is not None
            return f"{self.folder.name}/jail", self.keeper

    def _start(self) -> None:
        if self.pid == os.getpid():
            self._stop()
        self.folder = tempfile.TemporaryDirectory(prefix="secondread-", ignore_cleanup_errors=True)
        self.pid = os.getpid()
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **threads,
            **KEPT_MEMORY,
        }
        self.keeper = subprocess.Popen(
            [sys.executable, "-m", KEEPER, f"{self.folder.name}/jail"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, close_fds=True,
        )  # fmt: skip
        assert self.keeper.stdout is not None
        self.keeper.stdout.readline()

    def _stop(self) -> None:
        if self.keeper is not None and self.keeper.stdin is not None and self.keeper.stdout is not None:
            with suppress(BrokenPipeError):
                self.keeper.stdin.close()
            self.keeper.stdout.close()
            self.keeper.wait(5.0)
        if self.folder is not None:
            self.folder.cleanup()
        self.keeper = self.folder = None


JAIL = Jail()


def look(path: Path) -> list[str] | None:
    """Names of the files in an archive, None for anything else; raises `Refusal`."""
    limits = settings.LIMITS
    task = {"do": "look", "path": str(path), "files": limits.files, "file_bytes": limits.file_bytes,
            "unpacked_bytes": limits.unpacked_bytes}  # fmt: skip
    entries: list[str] | None = JAIL.ask(task)["entries"]
    return entries


def take(path: Path, entry: str | None, specs: list[dict[str, Any]], out: Path) -> dict[str, Any]:
    """Decode a file (or an entry of an archive) into `out`; its facts, elements and digest. Raises `Refusal`."""
    limits = settings.LIMITS
    task = {"do": "take", "path": str(path), "entry": entry, "specs": specs, "out": str(out),
            "file_bytes": limits.file_bytes, "megapixels": limits.megapixels}  # fmt: skip
    return JAIL.ask(task)


def _died(keeper: subprocess.Popen[bytes]) -> bool:
    """Children end with their keeper, perhaps a moment before it can be seen to be gone."""
    try:
        keeper.wait(KEEPER_DEATH_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return True


def _everything(connection: socket.socket) -> bytes:
    parts = []
    while part := connection.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)
