"""Who is better: arms against the baseline, models against each other, treatments over blocks. All on test rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.spec import Study
from secondread.core.tables import COMPARISON_COLUMNS
from secondread.evaluate.pooling import Pool
from secondread.evaluate.scoring import primary
from secondread.metrics.catalogue import METRICS
from secondread.metrics.claims import minimal_detectable_difference, probability_of_false_claim, verdict
from secondread.metrics.comparisons import paired_bootstrap, smallest_side
from secondread.metrics.defended import Comparison, compare, opened_difference, right
from secondread.metrics.delong import Difference
from secondread.metrics.multiplicity import holm, max_t
from secondread.metrics.treatment import patients_and_seeds

Row = dict[str, Any]
Pools = dict[tuple[str, str], Pool]
NOT_ALIKE = "not read on the same test rows"
"""Method of a comparison of two recipes of which a fold or seed is missing, so that no training of both is left."""


def headline(metric: str, pool: Pool) -> str:
    """The row of scores that stands for a metric: the positive class, the macro mean, or all cases."""
    cases = pool.members[0].cases
    return METRICS[metric].headline(cases.task, cases.classes)


def compare_pools(first: Pool, second: Pool, metric: str, study: Study) -> Comparison:
    """First minus second over the members (and rows) that both have."""
    row = headline(metric, first)
    one, other = shared(first, second)
    confidence = study.evaluate.confidence
    if not one.members:
        nothing = Difference(math.nan, math.nan, math.nan, math.nan, math.nan, NOT_ALIKE)
        return Comparison(metric, row, nothing, 0, 0, math.nan, math.nan)
    if len(one.members) == 1:
        return compare(
            one.members[0].cases, other.members[0].cases, metric, row, one.drawn[0], confidence=confidence,
            first_made=one.made[0], second_made=other.made[0],
        )  # fmt: skip
    apart = one.values(metric, row) - other.values(metric, row)
    moved = patients_and_seeds(difference_replicates(one, other, metric, row), one.draws.seed)
    fewest = min(smallest_side(m.cases, row, d) for m, d in zip(one.members, one.drawn, strict=True))
    found = paired_bootstrap(float(apart.mean()), moved, np.zeros_like(moved), fewest, confidence)
    found = replace(found, method=f"paired bootstrap over patients and {len(apart)} trainings")
    found = opened_difference(found, metric, fewest, confidence)
    n = int(np.mean([member.cases.n for member in one.members]))
    mde = minimal_detectable_difference(found.se, level=study.evaluate.level)
    return Comparison(metric, row, found, n, fewest, mde, _false_claim(one, other))


def difference_replicates(first: Pool, second: Pool, metric: str, row: str) -> NDArray[np.float64]:
    """[S, B]"""
    return first.replicates(metric, row) - second.replicates(metric, row)


def shared(first: Pool, second: Pool) -> tuple[Pool, Pool]:
    """Both pools with only the members that stand on the same rows in each."""
    rows = {member.key: member.rows.row_ids for member in second.members}
    keys = [m.key for m in first.members if m.key in rows and np.array_equal(m.rows.row_ids, rows[m.key])]
    return first.restricted(keys), second.restricted(keys)


def _false_claim(first: Pool, second: Pool) -> float:
    """Mean over the members of the chance that the first is not more accurate."""
    if not first.members[0].cases.exclusive:
        return math.nan
    chances = []
    for one, other in zip(first.members, second.members, strict=True):
        read = one.cases.read[:, 0] & other.cases.read[:, 0]
        chances.append(probability_of_false_claim(right(one.cases)[read], right(other.cases)[read]))
    return float(np.mean(chances))


def against_baseline(pools: Pools, baseline: str, study: Study) -> list[Row]:
    """Every arm against the baseline, for each model and metric; Holm within each metric, max-T for the primary one."""
    rows: list[Row] = []
    pairs = [(pool, base) for pool in pools.values() if (base := _base_of(pool, pools, baseline)) is not None]
    if not pairs:
        return rows
    task = pairs[0][0].members[0].cases.task
    metrics = dict.fromkeys([primary(study), *study.evaluate.metrics])
    for metric in [name for name in metrics if task in METRICS[name].tasks]:
        found = [_named(compare_pools(pool, base, metric, study), pool, base) for pool, base in pairs]
        names = [(pool.arm, baseline, pool.model) for pool, _ in pairs]
        rows += family(names, found, study)
        if metric == primary(study):
            rows += _simultaneous(pairs, found, study)
    return rows


def _base_of(pool: Pool, pools: Pools, baseline: str) -> Pool | None:
    """The baseline with the same model; or, where an arm is about another model, its only one with the only one."""
    if pool.arm == baseline or not pool.members:
        return None
    base = pools.get((baseline, pool.model))
    if base is None:
        own, theirs = ([one for (arm, _), one in pools.items() if arm == name] for name in (pool.arm, baseline))
        base = theirs[0] if len(own) == len(theirs) == 1 else None
    return base if base is not None and base.members else None


def _named(found: Comparison, pool: Pool, base: Pool) -> Comparison:
    """The comparison, whose method says so when the baseline has another model."""
    if pool.model == base.model:
        return found
    method = f"{found.difference.method}; {pool.model} here, {base.model} in {base.arm}"
    return replace(found, difference=replace(found.difference, method=method))


def between_models(pools: Pools, study: Study) -> list[Row]:
    """Every pair of models within each arm, on the primary metric; Holm over the pairs of an arm."""
    rows: list[Row] = []
    for arm in dict.fromkeys(arm for arm, _ in pools):
        own = [pool for (of_arm, _), pool in pools.items() if of_arm == arm and pool.members]
        pairs = [(one, other) for i, one in enumerate(own) for other in own[i + 1 :]]
        found = [compare_pools(one, other, primary(study), study) for one, other in pairs]
        names = [(arm, arm, f"{one.model} vs {other.model}") for one, other in pairs]
        rows += family(names, found, study)
    return rows


def family(names: Sequence[tuple[str, str, str]], found: Sequence[Comparison], study: Study) -> list[Row]:
    """Rows of comparisons that are corrected together (Holm)."""
    if not found:
        return []
    adjusted = holm([one.difference.p for one in found])
    return [row_of(name, one, float(p), study) for name, one, p in zip(names, found, adjusted, strict=True)]


def row_of(name: tuple[str, str, str], one: Comparison, p_adjusted: float, study: Study) -> Row:
    arm, baseline, model = name
    d = one.difference
    higher = METRICS[one.metric].higher_is_better
    told = verdict(d, p_adjusted, fewest=one.fewest, higher_is_better=higher, level=study.evaluate.level)
    return {
        "arm": arm, "baseline": baseline, "model": model, "split": "test", "metric": one.metric, "difference": d.value,
        "low": d.low, "high": d.high, "p": d.p, "p_adjusted": p_adjusted, "n": one.n, "method": d.method,
        "verdict": told, "mde": one.mde, "p_false_claim": one.p_false_claim,
    }  # fmt: skip


def _simultaneous(pairs: list[tuple[Pool, Pool]], found: list[Comparison], study: Study) -> list[Row]:
    """The primary metric once more with max-T intervals, which hold all at once; not for a single comparison."""
    usable = [(pair, one) for pair, one in zip(pairs, found, strict=True) if math.isfinite(one.difference.value)]
    if len(usable) < 2:
        return []
    moved = []
    for (first, second), one in usable:
        ours, theirs = shared(first, second)
        moved.append(patients_and_seeds(difference_replicates(ours, theirs, one.metric, one.row), ours.draws.seed))
    values = np.array([one.difference.value for _, one in usable])
    clusters = min(one.fewest for _, one in usable)
    together = max_t(values, np.stack(moved), clusters, study.evaluate.confidence)
    rows = []
    for i, ((first, second), one) in enumerate(usable):
        low, high = (float(edge) for edge in together.intervals[i])
        if low == high:
            low, high = one.difference.low, one.difference.high
        wide = replace(one.difference, low=low, high=high, p=math.nan, method=f"max-T over {len(usable)} comparisons")
        rows.append(
            row_of((first.arm, second.arm, first.model), replace(one, difference=wide), float(together.p[i]), study)
        )
    return rows


def table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=COMPARISON_COLUMNS)
