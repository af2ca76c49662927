"""Progress goes to the error stream, whatever becomes of the results."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

WORK = """
import sys
from secondread.core.progress import progress, say
with progress("trial [/b]", 3) as shown:
    for _ in range(3):
        shown.advance()
        shown.rich.refresh()
    print("first result")
    say("a word")
print("second result")
"""


def test_with_results_in_a_file_the_bar_is_on_the_terminal_and_the_file_holds_results_alone(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with open(tmp_path / "results", "wb") as results:
        working = subprocess.Popen([sys.executable, "-c", WORK], stdout=results, stderr=theirs)
    os.close(theirs)
    shown = b""
    while chunk := read(ours):
        shown += chunk
    os.close(ours)
    assert working.wait() == 0, shown
    assert (tmp_path / "results").read_text() == "first result\nsecond result\n"
    assert b"trial [/b]" in shown
    assert b"3/3" in shown
    assert b"a word" in shown


def read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # Linux tells the end of a terminal in this way
        return b""
