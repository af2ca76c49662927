"""`python -m bench [NAME…]`: every benchmark in turn (or those named), each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
PARTS_OF_OTHERS = ("serving_", "turns")


def main() -> int:
    """Run the benchmarks; the exit code is that of the last one that failed."""
    known = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if not path.stem.startswith(PARTS_OF_OTHERS))
    wanted = sys.argv[1:] or known
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no benchmark {unknown[0]!r}. Valid: {', '.join(known)}", file=sys.stderr)
        return 2
    failed = 0
    for name in wanted:
        print(f"── {name}", flush=True)
        failed = (
            subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=FOLDER.parent, check=False).returncode or failed
        )
    return failed


if __name__ == "__main__":
    raise SystemExit(main())
