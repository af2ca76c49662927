"""What `secondread tune` has tried, in tune/journal.jsonl: after a kill the same command goes on from there.

The journal is Optuna's own, a line of JSON per event. A search is called by a digest of all that decides it, so that a
changed search or study begins anew.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

RUNNING = optuna.trial.TrialState.RUNNING
WARM_UP_TRIALS, WARM_UP_EPOCHS = 5, 2
"""Settings and epochs before any is pruned."""


def opened(folder: Path, name: str, direction: str) -> optuna.Study:
    """The search of that name as far as it went; what another one left in `folder` is removed."""
    journal = _journal(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _forget_half_a_line(journal)
    storage = _storage(folder)
    if not _worth_keeping(storage, name):
        for left in (journal, folder / "trials.csv"):
            left.unlink(missing_ok=True)
        for left in folder.glob("trial-*"):
            shutil.rmtree(left)
        storage = _storage(folder)
    return optuna.create_study(
        storage=storage, study_name=name, direction=direction, pruner=_pruner(), load_if_exists=True
    )


def under_way(folder: Path, name: str, number: int) -> optuna.Trial:
    """The setting of that number as another process has begun it."""
    search = optuna.load_study(study_name=name, storage=_storage(folder), pruner=_pruner())
    return optuna.Trial(search, search.get_trials(deepcopy=False)[number]._trial_id)


def _journal(folder: Path) -> Path:
    return folder / "journal.jsonl"


def _storage(folder: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(_journal(folder))))


def _pruner() -> optuna.pruners.BasePruner:
    return optuna.pruners.MedianPruner(WARM_UP_TRIALS, WARM_UP_EPOCHS)


def _worth_keeping(storage: JournalStorage, name: str) -> bool:
    """Whether the search is there, and not merely a row of failures whose cause may be mended by now."""
    known = {one.study_name: one._study_id for one in storage.get_all_studies()}
    states = [trial.state for trial in storage.get_all_trials(known[name], deepcopy=False)] if name in known else []
    return any(state != optuna.trial.TrialState.FAIL for state in states)


def tried_before(search: optuna.Study) -> int:
    """How many settings were tried to their end, or to their failure."""
    return sum(trial.state != RUNNING for trial in search.get_trials(deepcopy=False))


def next_setting(search: optuna.Study, spaces: dict[str, Any], seed: int) -> optuna.Trial:
    """The setting at which a kill fell, else a new one.

    Each number has its own seed: Optuna keeps no state of its sampler, which would draw the first settings again.
    """
    begun = [
        trial for trial in search.get_trials(deepcopy=False, states=(RUNNING,)) if spaces.keys() <= trial.params.keys()
    ]
    if begun:
        return optuna.Trial(search, begun[0]._trial_id)
    number = len(search.get_trials(deepcopy=False))
    search.sampler = optuna.samplers.TPESampler(seed=int(np.random.SeedSequence([seed, number]).generate_state(1)[0]))
    return search.ask(spaces)


def _forget_half_a_line(journal: Path) -> None:
    """A full disk or a lost machine may leave the last event unfinished, after which Optuna could read none."""
    content = journal.read_bytes() if journal.exists() else b""
    if content and not content.endswith(b"\n"):
        journal.write_bytes(content[: content.rfind(b"\n") + 1])
