"""How many processors and processes there are to work with."""

from __future__ import annotations

import os

from secondread.core.errors import WrongRequest

MOST_THREADS = 256
"""Where there are no more cores; asked for tens of thousands, ONNX Runtime ends the process without a word."""
SLURM_TASKS = "SLURM_STEP_NUM_TASKS"
"""Of what srun started; the script of a job that asked for eight tasks is told of eight too, and is alone."""


def cores() -> int:
    """Processors that this process may use: on a cluster its share of the machine, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def threads_of(wanted: int | None) -> int:
    """Threads of one run: `wanted`, or one for every core. Raises `WrongRequest` for what no engine can start."""
    most = max(MOST_THREADS, cores())
    if wanted is None:
        return cores()
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= most:
        raise WrongRequest(f"threads is {wanted!r}; it may be 1 to {most}, and more than {cores()} gain nothing here")
    return wanted


def launched_processes() -> int:
    """How many processes torchrun or SLURM started for this command."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get(SLURM_TASKS, "1")))
