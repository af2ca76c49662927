"""A network that says the same of every image is named; one that learned a little is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import read_table
from secondread.evaluate.predictions import read_evidence
from secondread.evaluate.unlearned import failed, unlearned

Simulate = Callable[..., tuple[Study, StudyDir]]


def flattened(where: StudyDir, trial: str, spread: float) -> None:
    """Give the trial's logits this standard deviation, their order kept: such a network still has an AUROC."""
    path = where.predictions(trial)
    table = read_table(path)
    columns = [column for column in table if column.startswith("logit")]
    logits = table[columns].to_numpy(float)
    logits = logits - logits.mean(axis=1, keepdims=True)
    table[columns] = logits * spread / logits.std(axis=0).max()
    table.to_parquet(path)


@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize(("spread", "named"), [(0.01, True), (0.5, False)])
def test_what_says_the_same_of_every_image_is_named(simulate: Simulate, task: str, spread: float, named: bool) -> None:
    classes = ("a", "b") if task == "binary" else ("a", "b", "c")
    shares = (0.5, 0.5) if task == "binary" else (0.4, 0.3, 0.3)
    study, where = simulate(classes=classes, task=task, shares=shares, rows=120, skill={"one": 1.0, "two": 1.0})
    flat = read_evidence(study, where).trials[0]
    flattened(where, flat.trial.name, spread)
    evidence = read_evidence(study, where)
    assert [one.trial.name for one in unlearned(evidence)] == ([flat.trial.name] if named else [])
    leads = [str(sentence).split(" gave")[0] for sentence in failed(evidence)]
    assert leads == ([f"Did not learn. {flat.arm} · {flat.model}"] if named else [])


def test_a_network_of_which_nothing_is_known_is_not_accused(simulate: Simulate) -> None:
    study, where = simulate(classes=("a", "b"), task="binary", shares=(0.5, 0.5), rows=60, skill={"one": 1.0})
    path = where.predictions(read_evidence(study, where).trials[0].trial.name)
    table: Any = read_table(path)
    table[[column for column in table if column.startswith("logit")]] = np.nan
    table.to_parquet(path)
    assert unlearned(read_evidence(study, where)) == []
