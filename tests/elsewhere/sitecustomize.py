"""Python as it is on macOS and Windows together: put this folder on PYTHONPATH and what they lack is gone.

macOS has no processor affinity, no /proc and no prctl; Windows no fork, no files that do not hold one up, and sends
only files that may be written to disk. Third parties keep the platform's name, and so the libraries built for it.
"""

from __future__ import annotations

import builtins
import ctypes
import errno
import fcntl
import os
from typing import Any

for name in ("sched_getaffinity", "sched_setaffinity", "fork", "forkpty", "mkfifo", "O_NONBLOCK", "posix_fadvise",
             "posix_fallocate"):  # fmt: skip
    if hasattr(os, name):
        delattr(os, name)

real_open, real_stat, real_fsync, real_library = builtins.open, os.stat, os.fsync, ctypes.CDLL


def is_hidden(path: Any) -> bool:
    return isinstance(path, str | os.PathLike) and str(os.fspath(path)).startswith("/proc")


def opened(file: Any, *given: Any, **options: Any) -> Any:
    if is_hidden(file):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(file))
    return real_open(file, *given, **options)


def looked_at(path: Any, *given: Any, **options: Any) -> Any:
    if is_hidden(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return real_stat(path, *given, **options)


def sent_to_disk(handle: Any) -> None:
    number = handle if isinstance(handle, int) else handle.fileno()
    if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    real_fsync(number)


class Library(real_library):
    def __getattr__(self, name: str) -> Any:
        if name == "prctl":
            raise AttributeError(name)
        return super().__getattr__(name)


builtins.open, os.stat, os.fsync, ctypes.CDLL = opened, looked_at, sent_to_disk, Library  # type: ignore[misc]
