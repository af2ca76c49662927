"""How many processors and processes there are to work with."""

from __future__ import annotations

import os

SLURM_TASKS = "SLURM_STEP_NUM_TASKS"
"""Of what srun started; the script of a job that asked for eight tasks is told of eight too, and is alone."""


def cores() -> int:
    """Processors that this process may use: on a cluster its share of the machine, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def launched_processes() -> int:
    """How many processes torchrun or SLURM started for this command."""
    return int(os.environ.get("WORLD_SIZE", os.environ.get(SLURM_TASKS, "1")))
