"""The processes in which hostile bytes are decoded. One imports the decoders and forks children that do the work.

Each child is limited in memory, processor time and file size before it touches a byte; whatever becomes of it, the web
process only sees an answer that is missing, and the next child is there. Started by jail.py; knows nothing of Django.
"""

from __future__ import annotations

import gc
import io
import json
import os
import resource
import select
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from secondread.core.files import sha256_of_bytes
from secondread.core.processors import cores
from secondread.images.decode import DecodePolicy, PixelSpec, Refusal
from secondread.serve.lifeline import end_with_parent
from secondread.serve.reads.archive import checked_entries, is_zip, read_entry
from secondread.serve.reads.pixels import take_in, windows_of

LONGEST_TASK = 1 << 16
LONGEST_FILE = 512 << 20
CHILDREN = max(2, min(4, cores()))
TASKS = 256
"""Images one child decodes: starting one costs as much as decoding does, and nothing leaks for long."""
REAP_EVERY = 0.1


def answer(task: dict[str, Any]) -> dict[str, Any]:
    """Do one task: `look` at a file for what it holds, or `take` in an image of it; raises `Refusal`."""
    path = Path(task["path"])
    if task["do"] == "look":
        if not is_zip(path):
            return {"entries": None}
        return {"entries": checked_entries(path, task["files"], task["unpacked_bytes"], task["file_bytes"])}
    entry = task["entry"]
    content = path.read_bytes() if entry is None else read_entry(path, entry, task["file_bytes"])
    policy = DecodePolicy(max_bytes=task["file_bytes"], max_pixels=task["megapixels"] * 1_000_000, refuse_constant=True)
    decoded = take_in(content, [PixelSpec(**spec) for spec in task["specs"]], policy, Path(task["out"]))
    facts = decoded.facts
    return {
        "content_id": None if entry is None else sha256_of_bytes(content),  # of a whole file the asker knows it
        "stored_bytes": os.stat(task["out"]).st_size,
        "tags": decoded.tags,
        "facts": {
            "format": facts.format, "width": int(decoded.pixels.shape[1]), "height": int(decoded.pixels.shape[0]),
            "bits": decoded.bits, "grey": decoded.grey, "compression": facts.compression, "bytes": facts.bytes,
            "windows": windows_of(decoded),
        },
    }  # fmt: skip


def serve(path: str) -> None:
    """Keep children answering on the socket at `path` until the parent closes our standard input."""
    _warm_up()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(path)
    listening.listen(64)
    children = {_started(listening) for _ in range(CHILDREN)}
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([sys.stdin], [], [], REAP_EVERY)
        if ready:  # closed: nobody needs us any more
            os._exit(0)
        for child in list(children):
            if os.waitpid(child, os.WNOHANG)[0]:
                children.remove(child)
                children.add(_started(listening))


def _started(listening: socket.socket) -> int:
    """Fork a child that answers some tasks, one after the other, and then makes place for a fresh one."""
    child = os.fork()
    if child:
        return child
    try:
        end_with_parent(signal.SIGKILL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (LONGEST_FILE, LONGEST_FILE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        held = _address_space()
        for _ in range(TASKS):
            connection, _address = listening.accept()
            with connection:
                task = json.loads(_received(connection))
                _limit(held, task["memory"], task["seconds"])
                connection.sendall(json.dumps(_outcome(task)).encode())
                signal.alarm(0)
    finally:
        os._exit(0)


def _outcome(task: dict[str, Any]) -> dict[str, Any]:
    try:
        return answer(task)
    except Refusal as refusal:
        return {"refusal": {"code": refusal.code, "reason": refusal.reason}}
    except MemoryError:
        return {"refusal": {"code": "too_large", "reason": "the image does not fit into memory"}}
    except OSError as error:
        return {"fault": error.errno or 0}


def _address_space() -> int | None:
    """Bytes that this process has addresses for; None where the system (macOS) neither tells nor limits them."""
    try:
        with open("/proc/self/statm") as told:
            return int(told.read().split()[0]) * resource.getpagesize()
    except FileNotFoundError:
        return None


def _limit(held: int | None, memory: int, seconds: int) -> None:
    """For the coming task: so much memory above `held`, so much processor time from now, twice that on the clock."""
    if held is not None:
        resource.setrlimit(resource.RLIMIT_AS, (held + memory, resource.RLIM_INFINITY))
    used = int(time.process_time()) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (used + seconds, resource.RLIM_INFINITY))
    signal.alarm(2 * seconds)


def _received(connection: socket.socket) -> bytes:
    message = b""
    while not message.endswith(b"\n"):
        part = connection.recv(LONGEST_TASK)
        if not part or len(message) > LONGEST_TASK:
            raise ValueError("the task was cut short")
        message += part
    return message


def _warm_up() -> None:
    """Import what decoding imports when needed, so that children do not: by decoding something of every kind."""
    import gdcm  # noqa: F401
    import jpeg_ls  # noqa: F401
    import openjpeg.utils  # noqa: F401

    import secondread.images.dicom  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        for at, kind in enumerate(("PNG", "JPEG", "TIFF", "WEBP", "BMP")):
            written = io.BytesIO()
            Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save(written, kind)
            take_in(written.getvalue(), [PixelSpec(32)], DecodePolicy(), Path(folder) / f"{at}")
    gc.collect()
    gc.freeze()  # else the collector of every child writes to, and so copies, all of the parent's pages


if __name__ == "__main__":
    serve(sys.argv[1])
