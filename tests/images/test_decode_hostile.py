"""Mutated files: an image or a typed refusal, nothing else. `bench/fuzz_decoding.py` does the same in the thousands."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest


def _bench() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "fuzz_decoding.py"
    spec = importlib.util.spec_from_file_location("fuzz_decoding", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_decoding"] = module
    spec.loader.exec_module(module)
    return module


fuzz = _bench()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    folder = tmp_path_factory.mktemp("corpus")
    fuzz.write_corpus(folder)
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def test_the_originals_are_read(corpus: list[bytes]) -> None:
    assert [fuzz.outcome_of(content) for content in corpus] == ["image"] * len(corpus)


def test_mutants_are_read_or_refused(corpus: list[bytes]) -> None:
    outcomes = [
        fuzz.outcome_of(fuzz.mutated(corpus[number % len(corpus)], np.random.default_rng([number, 11])))
        for number in range(600)
    ]
    assert not [outcome for outcome in outcomes if outcome.startswith("!")]
    assert len(set(outcomes)) > 5
