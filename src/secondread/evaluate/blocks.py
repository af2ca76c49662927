"""Does an arm help as a recipe? Resampled folds, and effects over architectures and seeds."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from secondread.core.spec import Study
from secondread.evaluate.operating import Judged
from secondread.evaluate.scoring import primary
from secondread.evaluate.versus import Row, row_of
from secondread.metrics import claims
from secondread.metrics.catalogue import METRICS
from secondread.metrics.claims import minimal_detectable_difference
from secondread.metrics.defended import Comparison
from secondread.metrics.delong import Difference
from secondread.metrics.multiplicity import holm
from secondread.metrics.scores import score
from secondread.metrics.treatment import nadeau_bengio, treatment_effect, wilcoxon_blocks

FEWEST_BLOCKS = 5
EVERY_MODEL = "every model"


def fold_rows(judged: list[Judged], baseline: str, splits: pd.DataFrame, study: Study) -> list[Row]:
    """Nadeau-Bengio's corrected t over folds and repeats (seeds averaged), arm against baseline per model."""
    found, names = [], []
    of_trial = {id(one): value_on_test(one, study) for one in judged}
    for arm, model in dict.fromkeys(one.pair for one in judged):
        apart = _by_fold(judged, arm, baseline, model, of_trial)
        if arm == baseline or len(apart) < FEWEST_BLOCKS:
            continue
        n_train, n_test = fold_sizes(splits, judged)
        found.append(
            _compared(nadeau_bengio(apart, n_train, n_test, study.evaluate.confidence), n_test, len(apart), study)
        )
        names.append((arm, baseline, model))
    return _family(names, found, study)


def block_rows(judged: list[Judged], baseline: str, study: Study) -> list[Row]:
    """Each arm against the baseline over all blocks (architecture × repeat × fold × seed) that have both."""
    values = {(*_block(one), one.predicted.arm): value_on_test(one, study) for one in judged}
    arms = [arm for arm in dict.fromkeys(one.predicted.arm for one in judged) if arm != baseline]
    rows: list[Row] = []
    for test in ("mixed", "wilcoxon"):
        found, names = [], []
        for arm in arms:
            blocks = [key[:-1] for key in values if key[-1] == arm and (*key[:-1], baseline) in values]
            if len(blocks) < 2:
                continue
            ours = np.array([values[(*block, arm)] for block in blocks])
            theirs = np.array([values[(*block, baseline)] for block in blocks])
            found.append(_compared(_effect(test, ours, theirs, blocks, study), len(blocks), len(blocks), study))
            names.append((arm, baseline, EVERY_MODEL))
        rows += _family(names, found, study)
    return rows


def value_on_test(one: Judged, study: Study) -> float:
    """The headline of the primary metric on the trial's test rows."""
    if one.test.n == 0:
        return math.nan
    metric = primary(study)
    row = METRICS[metric].headline(one.test.task, one.test.classes)
    return next(s.value for s in score(one.test, [metric]) if s.row == row)


def fold_sizes(splits: pd.DataFrame, judged: list[Judged]) -> tuple[int, int]:
    """Training and test rows of a fold, in the mean."""
    n_test = int(np.mean([one.predicted.test.n for one in judged]))
    train = splits[splits["split"] == "train"]
    sizes = train.groupby(["repeat", "fold"]).size()
    return (int(sizes.mean()) if len(sizes) else 0), n_test


def _by_fold(judged: list[Judged], arm: str, baseline: str, model: str, value: dict[int, float]) -> list[float]:
    by_fold: dict[tuple[int, int], dict[str, list[float]]] = {}
    for one in judged:
        if one.predicted.model == model and one.predicted.arm in (arm, baseline):
            place = (one.predicted.trial.repeat, one.predicted.trial.fold)
            by_fold.setdefault(place, {}).setdefault(one.predicted.arm, []).append(value[id(one)])
    return [float(np.mean(both[arm]) - np.mean(both[baseline])) for both in by_fold.values() if len(both) == 2]


def _effect(
    test: str, ours: np.ndarray, theirs: np.ndarray, blocks: list[tuple[str, str, int]], study: Study
) -> Difference:
    confidence = study.evaluate.confidence
    if test == "wilcoxon":
        return wilcoxon_blocks(ours - theirs, confidence)
    architectures = [block[0] for block in blocks] * 2
    seeds = [number_of(block) for block in blocks] * 2
    treated = [1.0] * len(blocks) + [0.0] * len(blocks)
    return treatment_effect(np.concatenate([ours, theirs]), treated, architectures, seeds, confidence)


def number_of(block: tuple[str, str, int]) -> int:
    """A number for the block's fold and seed."""
    repeat, fold = (int(part) for part in block[1].split("/"))
    return (repeat * 1000 + fold) * 100_000 + block[2]


def _block(one: Judged) -> tuple[str, str, int]:
    trial = one.predicted.trial
    return one.predicted.model, f"{trial.repeat}/{trial.fold}", trial.seed


def _compared(difference: Difference, n: int, blocks: int, study: Study) -> Comparison:
    """What stands for cases here are folds or blocks: fewer than five of them carry no verdict."""
    fewest = claims.FEWEST if blocks >= FEWEST_BLOCKS else 0
    mde = minimal_detectable_difference(difference.se, level=study.evaluate.level)
    return Comparison(primary(study), "", difference, n, fewest, mde, math.nan)


def _family(names: list[tuple[str, str, str]], found: list[Comparison], study: Study) -> list[Row]:
    if not found:
        return []
    adjusted = holm([one.difference.p for one in found])
    return [row_of(name, one, float(p), study) for name, one, p in zip(names, found, adjusted, strict=True)]
