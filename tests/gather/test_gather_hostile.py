"""Mutated tables and npz files: rows or a typed error. `bench/fuzz_tables.py` does the same in the thousands."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def _bench() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "fuzz_tables.py"
    spec = importlib.util.spec_from_file_location("fuzz_tables", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_tables"] = module
    spec.loader.exec_module(module)
    return module


fuzz = _bench()


def test_mutants_give_rows_or_a_typed_error(tmp_path: Path) -> None:
    folders = fuzz.corpus(tmp_path)
    outcomes = [fuzz.outcome_of(folders, number)[1] for number in range(210)]
    assert not [outcome for outcome in outcomes if outcome.startswith("!")]
    assert {"rows", "BadData", "Refusal"} <= set(outcomes)
