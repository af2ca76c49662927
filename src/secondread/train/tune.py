"""`secondread tune`: Optuna over `train.search`, judged on validation rows only.

`search` maps dotted keys of `train` to `{low, high, log}` or to a list of choices, for example

    search: {optimiser.lr: {low: 1.0e-4, high: 1.0e-2, log: true}, augment: [none, light], batch: [32, 64]}

Every setting trains the baseline arm's models on repeat 0, fold 0 with the first seed; a median pruner stops hopeless
ones. All of them stand in tune/trials.csv. After a kill the same command goes on (train/tune_journal.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna
import pandas as pd

from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import sha256_of_json, write_with
from secondread.core.fingerprints import fingerprint
from secondread.core.progress import say
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.trials import trials as trials_of
from secondread.train.launch import need_gpus
from secondread.train.run import trial_unit
from secondread.train.tune_journal import RUNNING, next_setting, opened, tried_before
from secondread.train.tune_setting import folder_of, judge, judged_in
from secondread.train.tune_spaces import Space, spaces_of, watched, with_settings

VERSION = 3
"""Of what a setting means: one that was tried under another version is not compared with those of this one."""


def tune(study: Study, where: StudyDir, trials: int) -> Study:
    """The study with the best settings found in `trials` tries; raises `WrongRequest` for a wrong `search`."""
    spaces, devices = spaces_of(study), study.train.engine.devices
    need_gpus(1 if devices == "auto" else devices)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = where.root / "tune" / "trials.csv"
    direction = "maximize" if watched(study) == "val_auroc" else "minimize"
    search = opened(where.root / "tune", _told_apart_by(study, where), direction)
    if tried := tried_before(search):
        say(f"tune: goes on after {tried} settings that were tried before")
    for _ in range(tried, trials):
        _one(search, study, where, spaces)
        _write(search, spaces, table)
    _write(search, spaces, table)
    finished = [trial for trial in search.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not finished:
        raise BadData(f"no setting could be trained to its end; the reasons are in {table}")
    best, settings = search.best_trial, _settings(spaces, search.best_trial.params)
    say(f"tune: best of {tried_before(search)}: {settings} ({watched(study)} {best.value:.4g} on validation)")
    return with_settings(study, settings)


def _told_apart_by(study: Study, where: StudyDir) -> str:
    """Digest of all that decides how settings compare: what is searched, and what every trial is trained on."""
    told: list[Any] = [VERSION, list(study.train.search.items()), study.train.seeds[0], watched(study)]
    for trial in trials_of(study, judged_in(study, where)):
        unit = trial_unit(trial, where)  # an autoencoder's record is left out: each setting trains its own
        told += [
            unit.settings,
            [fingerprint(path) for path in unit.inputs if path.suffix == ".parquet" and path.exists()],
        ]
    return sha256_of_json(told)


def _one(search: optuna.Study, study: Study, where: StudyDir, spaces: dict[str, Space]) -> None:
    """Try one setting; what it cannot do (memory, NaN, a loss for other tasks) is noted, not fatal."""
    asked = next_setting(search, {key: space.distribution for key, space in spaces.items()}, study.train.seeds[0])
    try:
        changed = with_settings(study, _settings(spaces, asked.params))
        value = judge(changed, where, asked)
    except optuna.TrialPruned:
        search.tell(asked, state=optuna.trial.TrialState.PRUNED)
    except (BadData, WrongRequest) as error:
        say(f"tune {asked.number + 1}: {_settings(spaces, asked.params)}: failed: {error}")
        asked.set_user_attr("error", str(error))
        search.tell(asked, state=optuna.trial.TrialState.FAIL)
    else:
        search.tell(asked, value)
        say(f"tune {asked.number + 1}: {_settings(spaces, asked.params)}: {value:.4g}")
    shutil.rmtree(folder_of(where, asked.number), ignore_errors=True)  # kept by a kill: its training goes on


def _settings(spaces: dict[str, Space], params: dict[str, Any]) -> dict[str, Any]:
    return {key: spaces[key].written(drawn) for key, drawn in params.items()}


def _write(search: optuna.Study, spaces: dict[str, Space], path: Path) -> None:
    """Every setting tried, with its state, figure, number of epochs and, where it failed, the reason."""
    rows = [
        {"number": trial.number, "state": trial.state.name.lower(), "value": trial.value}
        | {"epochs": len(trial.intermediate_values), "error": trial.user_attrs.get("error", "")}
        | _settings(spaces, trial.params)
        for trial in search.trials
        if trial.state != RUNNING
    ]
    write_with(path, lambda temporary: pd.DataFrame(rows).to_csv(temporary, index=False))
