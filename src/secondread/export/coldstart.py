"""From nothing to the first reading: seconds and peak memory of a fresh process, for a bundle and its checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from secondread.core.errors import BadData

# What a fresh interpreter does; peak memory in MB is told on the last line
OF_BUNDLE = """
import sys
from pathlib import Path
import numpy as np
from secondread.models.bundle import Bundle
bundle = Bundle.open(Path(sys.argv[1]), threads=int(sys.argv[2]))
bundle.judge(bundle.run(np.zeros((1, bundle.card.channels, bundle.card.size, bundle.card.size), np.uint8)))
"""
OF_TRIAL = """
import sys
from pathlib import Path
import torch
from secondread.models.build import load_trial
torch.set_num_threads(int(sys.argv[2]))
classifier, card = load_trial(Path(sys.argv[1]))
with torch.inference_mode():
    classifier(torch.zeros(1, card.channels, card.size, card.size, dtype=torch.uint8))
"""
# VmHWM where there is one, since the maximum that getrusage tells of a child begins with that of its parent
TELL = """
try:
    told = [line.split() for line in open("/proc/self/status", encoding="utf8") if line.startswith("VmHWM")]
except OSError:
    told = []
print(int(told[0][1]) / 1024 if told else "nan")
"""
LONGEST = 600


@dataclass(frozen=True)
class ColdStart:
    seconds: float
    peak_mb: float


def cold_start_of_bundle(folder: Path, threads: int) -> ColdStart:
    """A new process opens the bundle (with its checks) and reads one image."""
    return _measured(OF_BUNDLE, folder, threads)


def cold_start_of_trial(folder: Path, threads: int) -> ColdStart:
    """A new process loads the checkpoint into PyTorch and runs one image."""
    return _measured(OF_TRIAL, folder, threads)


def _measured(program: str, folder: Path, threads: int) -> ColdStart:
    command = [sys.executable, "-c", program + TELL, str(folder), str(threads)]
    places = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=False, env=places)
    seconds = time.perf_counter() - started
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise BadData(f"bench: a fresh process could not use {folder}: {last[0]}")
    return ColdStart(seconds, float(done.stdout.strip().splitlines()[-1]))
