from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from secondread.images.decode_pool import Crash, in_processes


def squares(numbers: Sequence[int]) -> list[int]:
    """Deadly for 7, as for want of memory, and for 9, as a decoder with a fault."""
    for deadly, how in ((7, signal.SIGKILL), (9, signal.SIGSEGV)):
        if deadly in numbers:
            os.kill(os.getpid(), how)
    return [number * number for number in numbers]


def test_a_deadly_item_costs_only_itself() -> None:
    found: list[int | Crash] = [0] * 12
    for start, results in in_processes(squares, range(12), workers=2, chunk=4, few=1):
        found[start : start + len(results)] = results
    assert (found[7], found[9]) == (Crash(of_memory=True), Crash())
    assert [one for one in found if not isinstance(one, Crash)] == [k * k for k in range(12) if k not in (7, 9)]


def test_few_items_are_worked_on_here() -> None:
    assert list(in_processes(squares, [1, 2, 3], chunk=2)) == [(0, [1, 4]), (2, [9])]


def test_a_script_without_a_guard_may_use_it(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from secondread.images.decode_pool import in_processes\n"
        "print('ran', flush=True)\n"
        "found = dict(in_processes(sorted, [3, 1, 2, 0], workers=2, chunk=2, few=1))\n"
        "print(found)\n"
    )
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout.count("ran") == 1
    assert "{0: [1, 3], 2: [0, 2]}" in run.stdout or "{2: [0, 2], 0: [1, 3]}" in run.stdout
