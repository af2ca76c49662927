"""The promises of the statistics, on few simulated tables and with wide bounds; `bench/coverage.py` has the many."""

from __future__ import annotations

import importlib.util
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest
from scipy.stats import binom

TABLES = 200


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    path = Path(__file__).parents[2] / "bench" / "coverage.py"
    spec = importlib.util.spec_from_file_location("bench_coverage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.BOOTSTRAP = 200  # type: ignore[attr-defined]
    return module


def bounds(low: float, high: float, n: int = TABLES) -> tuple[float, float]:
    """Rates that n tables show with 99.9 % if the true rate lies between low and high."""
    return binom.ppf(0.0005, n, low) / n, binom.ppf(0.9995, n, high) / n


@pytest.mark.parametrize("clustered", [False, True])
def test_intervals_hold_the_truth(bench: ModuleType, clustered: bool) -> None:
    hits = bench.repeat(partial(bench.coverage, bench.Design(clustered=clustered)), TABLES, 1)
    low, high = bounds(0.93, 0.97)
    rates = list(hits.rates())
    assert len(rates) == 3
    for name, rate, _ in rates:
        assert low <= rate <= high, name


@pytest.mark.parametrize("clustered", [False, True])
def test_equals_are_not_called_different(bench: ModuleType, clustered: bool) -> None:
    hits = bench.repeat(partial(bench.paired, bench.Design(clustered=clustered)), TABLES, 1)
    for name, rate, _ in hits.rates():
        low, high = bounds(*bench.wanted_of_tests(name))
        assert low <= rate <= high, name


@pytest.mark.parametrize("work", ["folds", "large_mcnemar", "blocks"])
def test_tests_over_folds_and_blocks_keep_their_level(bench: ModuleType, work: str) -> None:
    for name, rate, _ in bench.repeat(getattr(bench, work), TABLES, 1).rates():
        low, high = bounds(*bench.wanted_of_tests(name))
        assert low <= rate <= high, name


def test_a_gap_of_three_standard_errors_is_found(bench: ModuleType) -> None:
    design = bench.Design()
    shift = bench.shift_of_three_errors(design, tables=150)
    ((_, rate, _),) = bench.repeat(partial(bench.power, design, shift), TABLES, 1).rates()
    assert rate >= bounds(0.8, 1.0)[0]
