"""Tuning: every setting is in the table, the best comes back as a study, and no test row is read."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from optuna.distributions import IntDistribution

from secondread.balance import run as balance
from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.core.studyfile import load_study, save_study
from secondread.core.trials import Trial
from secondread.train.trial import Outcome, Watch, train_trial
from secondread.train.tune import tune
from secondread.train.tune_spaces import spaces_of, with_settings
from small_study import small_directory, small_study

SEARCH = {
    "optimiser.lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "augment": ["none", {"name": "affine", "flip": "both"}],
    "batch": [8, 12],
    "head.dropout": {"low": 0.0, "high": 0.5},
}


def test_all_tries_are_told_and_the_best_is_a_study(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    study = small_study(tmp_path, {"search": SEARCH, "epochs": 1, "early_stop": {"patience": 3, "watch": "auroc"}})
    balance.run(study, where)
    best = tune(study, where, 4)
    table = pd.read_csv(where.root / "tune" / "trials.csv")
    assert len(table) == 4
    assert set(table["state"]) <= {"complete", "pruned"}
    assert set(SEARCH) <= set(table.columns)
    chosen = table.loc[table["value"].idxmax()]
    assert best.train.optimiser.options["lr"] == pytest.approx(chosen["optimiser.lr"])
    assert best.train.batch == chosen["batch"]
    assert best.train.head.dropout == pytest.approx(chosen["head.dropout"])
    save_study(best, tmp_path / "best.yaml")
    assert load_study(tmp_path / "best.yaml") == best
    assert not where.test_reads.exists()
    assert {path.name for path in (where.root / "tune").iterdir()} == {"trials.csv", "journal.jsonl"}
    assert tune(study, where, 4) == best


@pytest.mark.parametrize(
    ("search", "message"),
    [
        ({}, "train.search is empty"),
        ({"optimiser.lr": {"low": 1, "up": 2}}, "neither a list of choices nor"),
        ({"optimiser.lr": {"low": 0.0, "high": 0.1, "log": True}}, "neither a list of choices nor"),
        ({"epochs": {"low": 0.5, "high": 5}}, "train.epochs: Input should be a valid integer"),
        ({"clip": {"low": 1, "high": math.inf}}, "neither a list of choices nor"),
        ({"batch": []}, "neither a list of choices nor"),
        ({"optimiser.speed": [1.0]}, "adamw has no option 'speed'"),
        ({"bach": [1]}, "unknown key 'train.bach' .did you mean 'batch'"),
        ({"loss": ["cross_entropy", "focal"]}, "changes what a validation loss of 1 means.*watch: auroc"),
        ({"loss.gamma": {"low": 0.0, "high": 5.0}}, "changes what a validation loss of 1 means"),
        ({"early_stop.watch": ["loss", "auroc"]}, "cannot be searched itself"),
        ({"epochs.most": [1, 2]}, "train.epochs: Input should be a valid integer"),
        ({"models.0.width": [4, 8]}, "train.models: Input should be a valid list"),
        ({"optimiser": ["sgd", "adam"], "optimiser.momentum": [0.5, 0.9]}, "adam has no option 'momentum'"),
        ({"models": [["plain_cnn"], ["alexnet"], ["plain_cnn"]]}, "size 24 is too small for alexnet"),
    ],
)
def test_a_wrong_search_is_told(tmp_path: Path, search: dict[str, Any], message: str) -> None:
    where = small_directory(tmp_path)
    study = small_study(tmp_path, {"search": search})
    balance.run(study, where)
    with pytest.raises(WrongRequest, match=message):
        tune(study, where, 1)


def test_a_range_between_whole_numbers_is_whole_only_where_its_key_is(tmp_path: Path) -> None:
    search = {
        "clip": {"low": 1, "high": 5},
        "optimiser": ["adamw", "sgd"],
        "optimiser.lr": {"low": "1e-3", "high": 1, "log": True},
        "epochs": {"low": 1.0, "high": 5.0},
        "batch": {"low": 8, "high": 64, "log": True},
        "head.dropout": {"low": 0, "high": 0.5},
    }
    spaces = spaces_of(small_study(tmp_path, {"search": search}))
    whole = {key for key, space in spaces.items() if isinstance(space.distribution, IntDistribution)}
    assert whole == {"epochs", "batch"}
    assert (spaces["batch"].distribution.log, spaces["clip"].distribution.log) == (True, False)
    assert spaces["optimiser.lr"].drawn == (0.001, 1.0)


def test_dotted_keys_reach_into_parts_written_by_name(tmp_path: Path) -> None:
    study = small_study(tmp_path, {"loss": "focal"})
    changed = with_settings(study, {"loss.gamma": 1.0, "epochs": 7, "augment": {"name": "light", "rotation": 3}})
    assert changed.train.loss.options == {"gamma": 1.0}
    assert changed.train.epochs == 7
    assert changed.train.augment.options == {"rotation": 3}


def test_a_part_that_is_searched_takes_the_options_that_are_searched_beside_it(tmp_path: Path) -> None:
    study = small_study(tmp_path, {"early_stop": None, "uncertain": "ignore"})
    for lr in (0.5, 0.25):
        chosen = with_settings(study, {"optimiser.lr": lr, "optimiser": "sgd"}).train.optimiser
        assert (chosen.name, chosen.options) == ("sgd", {"lr": lr})
        renamed = with_settings(study, {"optimiser.lr": lr, "optimiser.name": "sgd"}).train.optimiser
        assert (renamed.name, renamed.options["lr"]) == ("sgd", lr)
    stop = with_settings(study, {"early_stop.patience": 2}).train.early_stop
    assert stop is not None
    assert stop.patience == 2
    assert with_settings(study, {"uncertain.c0": "ones"}).train.uncertain == {"c0": "ones"}


def test_the_judged_arm_says_by_what_figure(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    search = {"optimiser.lr": [1e-5, 3e-2]}
    arm = {"train": {"early_stop": {"watch": "auroc"}}}
    study = small_study(tmp_path, {"search": search, "epochs": 6}, {"plain": arm})
    balance.run(study, where)
    best = tune(study, where, 3)
    found = pd.read_csv(where.root / "tune" / "trials.csv").groupby("optimiser.lr")["value"].max()
    assert found.nunique() == 2
    assert best.train.optimiser.options["lr"] == found.idxmax()


def test_a_setting_that_does_not_fit_the_task_is_noted(tmp_path: Path) -> None:
    where = small_directory(tmp_path, "multiclass", classes=3)
    watched = {"early_stop": {"watch": "auroc"}, "epochs": 1}
    study = small_study(tmp_path, watched | {"search": {"loss": ["cross_entropy", "bce", "focal"]}})
    balance.run(study, where)
    tune(study, where, 6)
    table = pd.read_csv(where.root / "tune" / "trials.csv")
    failed = table[table["state"] == "fail"]
    assert set(failed["loss"]) == {"bce"}
    assert failed["error"].str.contains("bce takes each label by itself").all()
    assert (table["state"] == "complete").any()


def test_what_the_judged_arm_sets_itself_cannot_be_searched(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    search = {"optimiser.lr": {"low": 1e-4, "high": 1e-1}}
    study = small_study(tmp_path, {"search": search}, {"plain": {"train": {"optimiser": {"lr": 0.01}}}})
    balance.run(study, where)
    with pytest.raises(WrongRequest, match=r"optimiser\.lr: the arm plain, by which settings are judged, sets it"):
        tune(study, where, 1)


def test_a_model_on_codes_is_tuned_with_its_encoder(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    coded = {"name": "coded_cnn", "channels": 8, "width": 8, "encoder_epochs": 1}
    study = small_study(tmp_path, {"models": [coded], "size": 32, "epochs": 1, "search": {"batch": [8]}})
    balance.run(study, where)
    tune(study, where, 1)
    assert pd.read_csv(where.root / "tune" / "trials.csv")["state"].to_list() == ["complete"]


def test_a_killed_search_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = {name: SEARCH[name] for name in ("optimiser.lr", "batch")}
    settings = {"search": search, "epochs": 2, "engine": {"precision": "fp32"}}
    tables, begun = [], []

    def stopped(
        study: Study, where: StudyDir, trial: Trial, place: Any, folder: Path, key: str, watch: Watch
    ) -> Outcome:
        def killing(row: dict[str, Any]) -> None:
            watch(row)
            if row["epoch"] == 2 and len(begun) == 2:
                raise KeyboardInterrupt

        begun.append(folder)
        return train_trial(study, where, trial, place, folder, key, killing)

    for name in ("whole", "killed"):
        where = small_directory(tmp_path / name)
        study = small_study(tmp_path / name, settings)
        balance.run(study, where)
        if name == "killed":
            with monkeypatch.context() as patched:
                patched.setattr("secondread.train.tune_setting.train_trial", stopped)
                with pytest.raises(KeyboardInterrupt):
                    tune(study, where, 3)
            with open(where.root / "tune" / "journal.jsonl", "a") as journal:
                journal.write('{"op_code":')  # as a full disk leaves it
            assert "tried before" not in capsys.readouterr().err
        tune(study, where, 3)
        tables.append(pd.read_csv(where.root / "tune" / "trials.csv"))
    assert "after 1 settings that were tried before" in capsys.readouterr().err
    assert len(tables[0]) == 3
    assert tables[0]["optimiser.lr"].nunique() == 3
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not list((tmp_path / "killed" / "tune").glob("trial-*"))
    tune(study, where, 4)
    pd.testing.assert_frame_equal(pd.read_csv(where.root / "tune" / "trials.csv")[:3], tables[0])
    tune(small_study(tmp_path / "killed", settings | {"search": {"batch": [8, 16]}}), where, 1)
    assert len(pd.read_csv(where.root / "tune" / "trials.csv")) == 1


def test_a_setting_is_trained_in_as_many_processes_as_the_study_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # two processes cannot share one GPU
    tables = []
    for count in ("auto", 2):
        where = small_directory(tmp_path / str(count))
        settings = {"engine": {"devices": count, "precision": "fp32"}, "epochs": 2, "search": {"batch": [8]}}
        study = small_study(tmp_path / str(count), settings, {"[a] b": {}})  # a name that reads like a pattern
        balance.run(study, where)
        tune(study, where, 1)
        tables.append(pd.read_csv(where.root / "tune" / "trials.csv"))
    pd.testing.assert_frame_equal(tables[0], tables[1], atol=1e-5)
    assert tables[1]["epochs"].to_list() == [2]
    unfair = small_study(tmp_path / "2", settings | {"search": {"batch": [9]}}, {"[a] b": {}})
    with pytest.raises(BadData, match="no setting could be trained"):
        tune(unfair, where, 1)
    (error,) = pd.read_csv(where.root / "tune" / "trials.csv")["error"]
    assert error == "train.batch: 9 images cannot be shared equally by 2 processes"
