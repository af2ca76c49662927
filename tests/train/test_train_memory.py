"""Training reads its images from the disk as it goes: what it holds in memory does not grow with the data set."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

PROGRAM = """
import sys
import numpy as np, torch
from secondread.images.batches import Batches, Sampler, Stack

def anonymous():
    with open("/proc/self/status") as told:
        return next(int(line.split()[1]) for line in told if line.startswith("RssAnon")) / 1024

pixels = np.load(sys.argv[1], mmap_mode="r")
count = len(pixels)
sampler = Sampler(np.ones(count, np.int64), np.ones(count), 32, 0)
labels, place = np.zeros((count, 2), np.float32), torch.device("cpu")
with Batches(Stack([pixels]), np.arange(count), labels, sampler, place) as batches:
    batches(0)
    before = anonymous()
    for step in range(200):
        assert batches(step).inputs.shape == (32, 1, 224, 224)
    print(anonymous() - before)
"""


def test_two_hundred_steps_over_many_images_keep_memory(tmp_path: Path) -> None:
    shape = (100_000, 224, 224)  # a sparse file: 5 GB of holes
    np.lib.format.open_memmap(tmp_path / "pixels.npy", "w+", np.uint8, shape)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "pixels.npy")]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert float(ended.stdout) < 200  # MiB
