"""The seeds of a recipe read together: the mean of their logits, judged as one training is.

That is what a bundle with `export.ensemble` answers. The splits of such rows read `together: val` and `together: test`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from secondread.core.spec import Study
from secondread.core.tables import Dataset
from secondread.evaluate.draws import Draws
from secondread.evaluate.operating import Judged, point_of
from secondread.evaluate.pooling import pool
from secondread.evaluate.predictions import SPLITS, Part, Predicted
from secondread.evaluate.scoring import Row, pool_rows, table, trial_rows
from secondread.models.chosen import TOGETHER, seeds_together

ANY_SEED = -1


def read_together(judged: Iterable[Judged], dataset: Dataset, study: Study) -> list[Judged]:
    """One reader per arm, model, repeat and fold with several seeds, its operating point fitted on validation anew."""
    by_fold: dict[tuple[str, str, int, int], list[Predicted]] = {}
    for one in judged:
        trial = one.predicted.trial
        by_fold.setdefault((*one.pair, trial.repeat, trial.fold), []).append(one.predicted)
    found = []
    for members in by_fold.values():
        if len(members) > 1 and all(_same_rows([one.part(split) for one in members]) for split in SPLITS):
            first = members[0]
            val, test = (_mean([one.part(split) for one in members]) for split in SPLITS)
            reader = Predicted(replace(first.trial, seed=ANY_SEED), val, test, first.card)
            trials = [one.trial for one in members]
            found.append(Judged(reader, point_of(reader, val, dataset, study), seeds_together(trials)))
    return found


def together_rows(readers: Sequence[Judged], draws: Draws, study: Study) -> list[Row]:
    """Their scores: of each fold (seed −1), and of each arm and model over all folds and repeats."""
    rows = [row for one in readers for split in SPLITS for row in trial_rows(one, split, draws, study)]
    of_folds = table(rows)
    for pair in dict.fromkeys(one.pair for one in readers):
        own = [one for one in readers if one.pair == pair]
        for split in SPLITS:
            rows += pool_rows(pool(own, split, draws), of_folds, study)
    return [row | {"split": f"{TOGETHER}{row['split']}"} for row in rows]


def _same_rows(parts: Sequence[Part]) -> bool:
    return all(np.array_equal(part.row_ids, parts[0].row_ids) for part in parts)


def _mean(parts: Sequence[Part]) -> Part:
    return replace(parts[0], logits=np.mean([part.logits for part in parts], axis=0))
