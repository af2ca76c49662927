"""Children that do not outlive the process that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time

PR_SET_PDEATHSIG = 1
LOOK_EVERY = 0.5


def end_with_parent(told: signal.Signals = signal.SIGTERM) -> None:
    """Have this process signalled when its parent ends, however that happens: by the kernel, or where it does not."""
    parent, system = os.getppid(), ctypes.CDLL(None, use_errno=True)
    if not hasattr(system, "prctl"):  # macOS
        threading.Thread(target=_watch, args=(parent, told), daemon=True).start()
        return
    system.prctl(PR_SET_PDEATHSIG, told, 0, 0, 0)
    if os.getppid() != parent:  # it ended meanwhile
        os.kill(os.getpid(), told)


def _watch(parent: int, told: signal.Signals) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os.kill(os.getpid(), told)
