"""What the summary says of comparisons is what the comparisons can say."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.tables import read_table, write_table
from secondread.evaluate.predictions import read_evidence
from secondread.evaluate.results import results

Simulate = Callable[..., tuple[Study, StudyDir]]
FEW = {"bootstrap": 60, "metrics": ["auroc"]}
ONCE = "over one training of each, another seed may say otherwise"


def said(study: Study, where: StudyDir, lead: str) -> str:
    results(read_evidence(study, where), study, where).write()
    sentences: list[str] = json.loads(where.summary.read_text())["sentences"]
    return next(one for one in sentences if one.startswith(lead))


@pytest.mark.parametrize("arm", ["a", "b"])
def test_one_training_of_either_side_is_one_of_each(simulate: Simulate, arm: str) -> None:
    study, where = simulate(rows=200, seeds=(0, 1), skill={"a": 0.5, "b": 4.0}, evaluate=FEW, images=False)
    assert ONCE not in said(study, where, "b.")
    where.predictions(f"{arm}/resnet18/r0f0s1").unlink()
    assert ONCE in said(study, where, "b.")


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_networks_that_were_trained_once_are_told_apart_with_that_word(simulate: Simulate, seeds: tuple) -> None:
    study, where = simulate(rows=200, seeds=seeds, models=("one", "two"), skill={"a": 4.0}, evaluate=FEW, images=False)
    for seed in seeds:  # the second network says the opposite of everything
        path = where.predictions(f"a/two/r0f0s{seed}")
        table = read_table(path)
        write_table(table.assign(logit_covid=-table["logit_covid"], logit_normal=-table["logit_normal"]), path, {})
    told = said(study, where, "Networks.")
    assert "one is better than two" in told
    assert told.endswith("(one training of each).") == (len(seeds) == 1)


def test_a_missing_fold_is_not_called_a_score_that_is_not_defined(simulate: Simulate) -> None:
    study, where = simulate(rows=120, folds=3, skill={"a": 1.0, "b": 1.5}, evaluate=FEW, images=False)
    where.predictions("b/resnet18/r0f1s0").unlink()
    assert said(study, where, "b.").endswith("with a: no training of both read the same test images.")


def test_what_holds_for_these_test_images_is_said_of_them_alone(simulate: Simulate) -> None:
    study, where = simulate(rows=200, seeds=(0, 1, 2, 3, 4), skill={"a": 1.0, "b": 2.0}, evaluate=FEW, images=False)
    words = "Over all networks and trainings together, with the test images as they are, it is better: +"
    assert words in said(study, where, "b.")


@pytest.mark.parametrize(("arms", "told"), [(13, "arm 11 and arm 12, each"), (20, "arm 10, arm 11 and 8 more, each")])
def test_of_very_many_arms_the_first_are_named(simulate: Simulate, arms: int, told: str) -> None:
    study, where = simulate(rows=60, skill={f"arm {turn}": 1.5 for turn in range(arms)}, evaluate=FEW, images=False)
    assert told in said(study, where, "Compared.")
