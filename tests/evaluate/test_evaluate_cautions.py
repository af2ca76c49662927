"""What must be known before a score is believed is said in the summary, and nothing where there is no reason."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd

from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.evaluate.predictions import read_evidence
from secondread.evaluate.results import results

Simulate = Callable[..., tuple[Study, StudyDir]]
LEADS = ("No skill is shown.", "Few cases.", "Too few draws.")


def said(study: Study, where: StudyDir) -> dict[str, str]:
    results(read_evidence(study, where), study, where).write()
    sentences = json.loads(where.summary.read_text())["sentences"]
    return {lead: one for one in sentences for lead in LEADS if one.startswith(lead)}


def test_a_network_that_may_be_guessing_is_not_praised(simulate: Simulate) -> None:
    study, where = simulate(skill={"one": 0.0}, images=False, evaluate={"bootstrap": 50, "metrics": ["auroc"]})
    assert list(said(study, where)) == ["No skill is shown."]


def test_few_cases_are_counted(simulate: Simulate) -> None:
    study, where = simulate(rows=40, skill={"one": 3.0}, images=False, evaluate={"bootstrap": 50, "metrics": ["auroc"]})
    found = said(study, where)
    assert list(found) == ["Few cases."]
    assert found["Few cases."].startswith("Few cases. Test images of normal: 6; a single")


def test_draws_that_can_show_nothing_are_told(simulate: Simulate) -> None:
    """The least p of 50 draws, corrected for three comparisons, is .059."""
    skill = {"one": 0.5, "two": 4.0, "three": 4.0, "four": 4.0}
    study, where = simulate(skill=skill, seeds=(0, 1), images=False, evaluate={"bootstrap": 50, "metrics": ["auroc"]})
    found = said(study, where)
    assert found["Too few draws."].endswith("for 3 comparisons: set evaluate.bootstrap to 60 at the least.")
    told = pd.read_csv(where.comparisons)
    assert not (told[told["method"].str.startswith("paired bootstrap")]["verdict"] == "better").any()


def test_one_draw_less_than_needed_is_told(simulate: Simulate) -> None:
    """The least p of 19 draws is .05, which is not below .05; in double precision 1 − .95 is a little more."""
    skill = {"one": 0.5, "two": 4.0}
    study, where = simulate(skill=skill, seeds=(0, 1), images=False, evaluate={"bootstrap": 19, "metrics": ["auroc"]})
    assert said(study, where)["Too few draws."].endswith("can be shown: set evaluate.bootstrap to 20 at the least.")


def test_a_sound_study_needs_no_caution(simulate: Simulate) -> None:
    study, where = simulate(skill={"one": 2.0, "two": 4.0}, images=False, evaluate={"bootstrap": 50, "metrics": ["f1"]})
    assert said(study, where) == {}
