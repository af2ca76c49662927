"""One setting of `secondread tune`: the trials that it is judged by, in this process or in as many as a study asks for.

`engine.devices: 2` starts two processes for each setting, as `train` does for all trials: a batch is shared in the
search as it will be afterwards, and a setting that one of them cannot do ends without leaving the other waiting.
"""

from __future__ import annotations

import glob
import math
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna

from secondread.core.errors import BadData, SecondreadError, WrongRequest
from secondread.core.files import read_json, sha256_of_json, write_json
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir, slug
from secondread.core.studyfile import load_study, save_study
from secondread.core.trials import trials
from secondread.learning.devices import Machine, machine
from secondread.train.launch import end_with, in_processes, leave, train_coders
from secondread.train.trial import Watch, train_trial
from secondread.train.tune_journal import under_way
from secondread.train.tune_spaces import baseline, watched


def judge(study: Study, where: StudyDir, asked: optuna.Trial) -> float:
    """The best validation figure, averaged over the models of the baseline arm.

    Raises `optuna.TrialPruned` where it is hopeless, `BadData` or `WrongRequest` where it cannot be trained.
    """
    count = study.train.engine.devices
    if count == "auto" or count < 2:
        return _judge_here(study, where, asked.number, asked)
    folder = folder_of(where, asked.number)
    save_study(study, folder / "study.yaml")
    told_at = folder / "told.json"
    told_at.unlink(missing_ok=True)
    name = asked.study.study_name
    code = in_processes(count, __spec__.name, [str(where.root), str(where.data or ""), name, str(asked.number)])
    told = read_json(told_at) if told_at.exists() else {}
    if told.get("pruned"):
        raise optuna.TrialPruned
    if "value" not in told:
        failed = f"training in {count} processes failed (exit code {code}); the reason is above"
        raise BadData(told.get("error", failed))
    return float(told["value"])


def folder_of(where: StudyDir, number: int) -> Path:
    """Where a setting is trained."""
    return where.root / "tune" / f"trial-{number}"


def judged_in(study: Study, where: StudyDir) -> StudyDir:
    """The study's directory with those trials wanted that a setting is judged by."""
    return replace(where, only=f"{glob.escape(slug(baseline(study)))}/*/r0f0s{study.train.seeds[0]}")


def _judge_here(study: Study, where: StudyDir, number: int, asked: optuna.Trial | None) -> float:
    """`asked`: None in all processes but the first, which alone keeps the journal."""
    here = judged_in(study, where)
    wanted = list(trials(study, here))
    if not wanted:
        told = f"arm {baseline(study)} has no trial on repeat 0, fold 0 with seed {study.train.seeds[0]}"
        raise WrongRequest(f"tune: {told}")
    train_coders(study, here)
    found: list[float] = []
    for trial in wanted:
        place, key = machine(trial.train.engine), sha256_of_json(trial.settings)
        watch = _watch(watched(study), asked, place, prunes=len(wanted) == 1)
        outcome = train_trial(study, where, trial, place, folder_of(where, number) / trial.name, key, watch).best
        if outcome is None or not math.isfinite(outcome):
            raise BadData(f"{trial.name} has no {watched(study)}: are there validation rows of every class?")
        found.append(outcome)
    return float(np.mean(found))


def _watch(figure: str, asked: optuna.Trial | None, place: Machine, prunes: bool) -> Watch:
    """Report each epoch, and end a hopeless setting in all processes; epochs of several models are no one curve."""
    known = {} if asked is None else asked.study.get_trials(deepcopy=False)[asked.number].intermediate_values
    reported = dict(known)  # before a kill

    def hopeless(row: dict[str, Any]) -> bool:
        if asked is None:
            return False
        if int(row["epoch"]) not in reported:
            asked.report(float(row[figure]), int(row["epoch"]))
        return bool(asked.should_prune())

    def watch(row: dict[str, Any]) -> None:
        value = row.get(figure)
        if prunes and value is not None and math.isfinite(value) and place.any_says(hopeless(row)):
            raise optuna.TrialPruned

    return watch


def main(root: str, data: str, search: str, number: str) -> int:
    """One of the processes that `judge` started; what came of it stands in told.json."""
    end_with(os.getppid())
    where = StudyDir(Path(root), Path(data) if data else None)
    folder, first = folder_of(where, int(number)), os.environ.get("RANK", "0") == "0"
    told: dict[str, Any] = {}
    code = 0
    try:
        asked = under_way(folder.parent, search, int(number)) if first else None
        told["value"] = _judge_here(load_study(folder / "study.yaml"), where, int(number), asked)
    except optuna.TrialPruned:
        told["pruned"] = True
    except SecondreadError as error:  # the others may not have met it, and would wait
        told["error"], code = str(error), error.exit_code
    finally:
        leave()
    if first or code:
        write_json(folder / "told.json", told)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:5]))
