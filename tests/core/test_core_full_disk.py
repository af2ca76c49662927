"""Large files are written through memory; a disk too small for one is told before, not met by a signal that kills."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from PIL import Image
from secondread.core.errors import BadData
from secondread.images.batches import Stack
from secondread.images.cache import CacheItem, build_cache
from secondread.images.decode import PixelSpec
from secondread.learning.devices import machine
from secondread.train.features import Front, features_of

full, image = Path(sys.argv[1]), Path(sys.argv[2])
Image.fromarray(np.arange(4096, dtype=np.uint16).astype(np.uint8).reshape(64, 64)).save(image)
stack, rows = Stack([np.zeros((2000, 16, 16), np.uint8)]), np.arange(2000)
items = [CacheItem(f"row {k}", image, -1, f"content {k}") for k in range(400)]
front = Front(lambda images: images.float().flatten(1), None, 0)
for work in (
    lambda: features_of(front, stack, rows, rows[:2], 1, machine(), full / "features"),
    lambda: build_cache(items, PixelSpec(64, "stretch", 1), full / "cache"),
):
    try:
        work()
    except BadData as error:
        print(error)
print([path.name for path in full.rglob("*") if path.is_file() and path.stat().st_size > 1000])
"""


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs a mount (root)"
)
def test_a_full_disk_is_told_before_it_is_written_through_memory(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (tmp_path / "program.py").write_text(PROGRAM)
    run = f"'{sys.executable}' '{tmp_path}/program.py' '{full}' '{tmp_path}/image.png'"
    script = f"mount -t tmpfs -o size=1m tmpfs '{full}' || exit 77; {run}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(["unshare", "-m", "sh", "-c", script], env=environment, capture_output=True, text=True)
    if ended.returncode == 77:
        pytest.skip("this machine allows no mount")
    assert ended.returncode == 0, ended.stderr
    of_features, of_cache, left = ended.stdout.splitlines()
    assert of_features.startswith(f"cannot write {full}/features/features.npy: No space left")
    assert of_cache.startswith(f"cannot write the pixel cache {full}/cache/")
    assert of_cache.endswith("No space left on device")
    assert left == "[]"
