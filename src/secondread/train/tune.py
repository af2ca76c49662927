"""`secondread tune`: Optuna over `train.search`, judged on validation rows only.

`search` maps dotted keys of `train` to `{low, high, log}` or to a list of choices, for example

    search: {optimiser.lr: {low: 1.0e-4, high: 1.0e-2, log: true}, augment: [none, light], batch: [32, 64]}

Every setting trains the baseline arm's models on repeat 0, fold 0 with the first seed; a median pruner stops hopeless
ones. All of them stand in tune/trials.csv. After a kill the same command goes on (train/tune_journal.py).
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd

from secondread.core.arms import merged
from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import sha256_of_json, write_with
from secondread.core.fingerprints import fingerprint
from secondread.core.progress import say
from secondread.core.spec import Study, as_yaml
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import check_parts, parse_study
from secondread.core.trials import Trial
from secondread.core.trials import trials as trials_of
from secondread.learning.devices import machine
from secondread.models.catalogue import forbid_misfits
from secondread.train.launch import train_coders
from secondread.train.run import trial_unit
from secondread.train.trial import train_trial
from secondread.train.tune_journal import RUNNING, next_setting, opened, tried_before

WARM_UP_TRIALS, WARM_UP_EPOCHS = 5, 2
"""Settings and epochs before any is pruned."""
CHANGE_THE_LOSS = ("loss", "label_smoothing", "uncertain")
VERSION = 2
"""Of what a setting means: one that was tried under another version is not compared with those of this one."""


def tune(study: Study, where: StudyDir, trials: int) -> Study:
    """The study with the best settings found in `trials` tries; raises `WrongRequest` for a wrong `search`."""
    spaces = spaces_of(study)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = where.root / "tune" / "trials.csv"
    direction = "maximize" if _watch(study) == "val_auroc" else "minimize"
    pruner = optuna.pruners.MedianPruner(WARM_UP_TRIALS, WARM_UP_EPOCHS)
    search = opened(where.root / "tune", _told_apart_by(study, where), direction, pruner)
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
    say(f"tune: best of {tried_before(search)}: {settings} ({_watch(study)} {best.value:.4g} on validation)")
    return with_settings(study, settings)


def spaces_of(study: Study) -> dict[str, Space]:
    """What each key of `search` is drawn from; raises `WrongRequest` where it cannot be searched. Touches no data."""
    spaces = {key: _space(key, written) for key, written in study.train.search.items()}
    if not spaces:
        example = "{optimiser.lr: {low: 1.0e-4, high: 1.0e-2, log: true}}"
        raise WrongRequest(f"train.search is empty: name what to search, for example {example}")
    for key in spaces:
        _refuse_senseless(study, key, spaces)
    return spaces


def _told_apart_by(study: Study, where: StudyDir) -> str:
    """Digest of all that decides how settings compare: what is searched, and what every trial is trained on."""
    told: list[Any] = [VERSION, list(study.train.search.items()), study.train.seeds[0], _watch(study)]
    for trial in trials_of(study, replace(where, only=_judged(study))):
        unit = trial_unit(trial, where)  # an autoencoder's record is left out: each setting trains its own
        told += [
            unit.settings,
            [fingerprint(path) for path in unit.inputs if path.suffix == ".parquet" and path.exists()],
        ]
    return sha256_of_json(told)


def _refuse_senseless(study: Study, key: str, spaces: dict[str, Space]) -> None:
    """Raise `WrongRequest` where settings could not be compared or made, or would all train the same."""
    if key in ("early_stop", "early_stop.watch"):
        raise WrongRequest(f"train.search: {key}: what settings are compared by cannot be searched itself")
    if key.split(".")[0] in CHANGE_THE_LOSS and _watch(study) == "val_loss":
        raise WrongRequest(
            f"train.search: {key} changes what a validation loss of 1 means, so that the best cannot be told by it; "
            "set train.early_stop: {watch: auroc}"
        )
    arm, first = _baseline(study), {name: space.written(space.drawn[0]) for name, space in spaces.items()}
    tried = [with_settings(study, first | {key: spaces[key].written(one)}).arm(arm)[1] for one in spaces[key].drawn]
    for train in tried:
        forbid_misfits(train)
    if len(tried) > 1 and all(train == tried[0] for train in tried):
        raise WrongRequest(f"train.search: {key}: the arm {arm}, by which settings are judged, sets it itself")


def with_settings(study: Study, settings: dict[str, Any]) -> Study:
    """The study with dotted keys of `train` set, a part before its options; raises `WrongRequest` when it is not valid
    then."""
    written = as_yaml(study)
    for key in sorted(settings, key=lambda key: (key.count("."), not key.endswith(".name"))):
        name, *inside = key.split(".")
        value = settings[key]
        for inner in reversed(inside):
            value = {inner: value}
        written["train"][name] = merged(written["train"], {name: value})[name] if inside else value
    changed = parse_study(written, "tune")
    check_parts(changed)
    return changed


def _one(search: optuna.Study, study: Study, where: StudyDir, spaces: dict[str, Space]) -> None:
    """Try one setting; what it cannot do (memory, NaN, a loss for other tasks) is noted, not fatal."""
    asked = next_setting(search, {key: space.distribution for key, space in spaces.items()}, study.train.seeds[0])
    try:
        changed = with_settings(study, _settings(spaces, asked.params))
        value = _judge(changed, where, asked)
    except optuna.TrialPruned:
        search.tell(asked, state=optuna.trial.TrialState.PRUNED)
    except (BadData, WrongRequest) as error:
        say(f"tune {asked.number + 1}: {_settings(spaces, asked.params)}: failed: {error}")
        asked.set_user_attr("error", str(error))
        search.tell(asked, state=optuna.trial.TrialState.FAIL)
    else:
        search.tell(asked, value)
        say(f"tune {asked.number + 1}: {_settings(spaces, asked.params)}: {value:.4g}")
    shutil.rmtree(_folder(where, asked), ignore_errors=True)  # kept by a kill: its training goes on


def _judge(study: Study, where: StudyDir, asked: optuna.Trial) -> float:
    """The best validation figure, averaged over the models of the baseline arm."""
    arm = _baseline(study)
    here = replace(where, only=_judged(study))
    wanted = list(trials_of(study, here))
    train_coders(study, here)
    found: list[float] = []
    for place, trial in enumerate(wanted):
        outcome = _train(study, where, trial, asked, place if len(wanted) > 1 else None)
        if outcome is None or not math.isfinite(outcome):
            raise BadData(f"{trial.name} has no {_watch(study)}: are there validation rows of every class?")
        found.append(outcome)
    if not found:
        raise WrongRequest(f"tune: arm {arm} has no trial on repeat 0, fold 0 with seed {study.train.seeds[0]}")
    return float(np.mean(found))


def _train(study: Study, where: StudyDir, trial: Trial, asked: optuna.Trial, place: int | None) -> float | None:
    folder = _folder(where, asked) / trial.name
    figure = _watch(study)
    reported = dict(asked.study.get_trials(deepcopy=False)[asked.number].intermediate_values)  # before a kill

    def watch(row: dict[str, Any]) -> None:
        value = row.get(figure)
        if place is None and value is not None and math.isfinite(value):  # epochs of several models are no one curve
            if int(row["epoch"]) not in reported:
                asked.report(float(value), int(row["epoch"]))
            if asked.should_prune():
                raise optuna.TrialPruned

    key = sha256_of_json(trial.settings)
    return train_trial(study, where, trial, machine(trial.train.engine), folder, key, watch).best


def _folder(where: StudyDir, asked: optuna.Trial) -> Path:
    return where.root / "tune" / f"trial-{asked.number}"


def _judged(study: Study) -> str:
    """Which trials a setting is judged by, as a glob."""
    return f"{_baseline(study)}/*/r0f0s{study.train.seeds[0]}"


def _baseline(study: Study) -> str:
    return study.evaluate.baseline or next(iter(study.arms))


def _watch(study: Study) -> str:
    """What a setting is judged by: what the judged arm, which may have its own, chooses its epoch by."""
    stop = study.arm(_baseline(study))[1].early_stop
    return f"val_{stop.watch}" if stop else "val_loss"


@dataclass(frozen=True)
class Space:
    """What one key is drawn from. Choices are drawn by their place, because Optuna takes no mappings."""

    distribution: Any
    choices: tuple[Any, ...] | None = None

    @property
    def drawn(self) -> Sequence[Any]:
        """All that can be drawn, of a range its ends."""
        if self.choices is None:
            return self.distribution.low, self.distribution.high
        return range(len(self.choices))

    def written(self, drawn: Any) -> Any:
        """The drawn value as a study file has it."""
        return drawn if self.choices is None else self.choices[drawn]


def _space(key: str, written: Any) -> Space:
    """`{low, high, log}` or a list of choices."""
    if isinstance(written, list) and written:
        return Space(optuna.distributions.CategoricalDistribution(range(len(written))), tuple(written))
    if isinstance(written, dict) and {"low", "high"} <= set(written) <= {"low", "high", "log"}:
        low, high, log = written["low"], written["high"], bool(written.get("log", False))
        if isinstance(low, int | float) and isinstance(high, int | float) and low < high and not (log and low <= 0):
            if isinstance(low, int) and isinstance(high, int):
                return Space(optuna.distributions.IntDistribution(low, high, log=log))
            return Space(optuna.distributions.FloatDistribution(float(low), float(high), log=log))
    raise WrongRequest(
        f"train.search: {key}: {written!r} is neither a list of choices nor {{low, high, log}} with low < high"
    )


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
