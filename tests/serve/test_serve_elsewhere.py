"""What the site does where there is no prctl and no /proc, as on macOS (see tests/elsewhere)."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from pathlib import Path

ELSEWHERE = Path(__file__).parents[1] / "elsewhere"
PLACES = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ELSEWHERE), *filter(None, sys.path)])}

CHILD = """
import sys, threading
from secondread.serve.lifeline import end_with_parent
end_with_parent()
print("watching", flush=True)
threading.Event().wait()
"""
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"
LIMITED = """
import resource
from secondread.serve.reads.jailed import _address_space, _limit
held = _address_space()
_limit(held, 1 << 20, 5)
print(held, resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY,
      resource.getrlimit(resource.RLIMIT_CPU)[0] < 60)
"""


def test_a_child_ends_with_its_parent_where_the_kernel_does_not_see_to_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], env=PLACES, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"watching\n"
    parent.kill()
    parent.wait()
    assert select.select([parent.stdout], [], [], 30)[0], "the child still holds its end of the pipe"
    assert parent.stdout.read() == b""
    parent.stdout.close()


def test_decoders_are_limited_in_time_where_memory_cannot_be() -> None:
    told = subprocess.run([sys.executable, "-c", LIMITED], env=PLACES, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["None", "True", "True"]
