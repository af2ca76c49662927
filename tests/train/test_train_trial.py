"""One trial: what it leaves, how its regimes differ, and what it refuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from secondread.balance import run as balance
from secondread.core.errors import BadData, Leak, WrongRequest
from secondread.core.files import read_json
from secondread.core.leakage import read_contents, write_contents
from secondread.core.studydir import StudyDir
from secondread.core.tables import PLAN_COLUMNS, Task, read_dataset, read_table, write_dataset, write_table
from secondread.core.trials import trials
from secondread.images.batches import Stack
from secondread.learning import devices
from secondread.learning.devices import machine
from secondread.learning.lesson import step_seed
from secondread.learning.schedules import one_cycle
from secondread.models.build import load_trial
from secondread.train import run as train
from secondread.train.material import material_of, mean_and_std
from secondread.train.trial import EPOCH_COLUMNS, _classifier, _loss
from secondread.train.tune import tune
from small_study import SIDE, plan_and_train, small_directory, small_study

TRIAL = "plain/plain_cnn/r0f0s0"


def trained(root: Path, settings: dict[str, Any], task: Task = "binary", **directory: Any) -> StudyDir:
    where = small_directory(root, task, **directory)
    plan_and_train(small_study(root, settings), where)
    return where


def folder_of(where: StudyDir) -> Path:
    return next(path.parent for path in (where.root / "train").rglob("card.json"))


def test_a_trial_leaves_weights_card_epochs_and_contents(tmp_path: Path) -> None:
    where = trained(tmp_path, {"optimiser": {"name": "adamw", "lr": 0.01}, "epochs": 3})
    folder = where.trial(TRIAL)
    assert {path.name for path in folder.iterdir()} == {
        "best.safetensors", "card.json", "epochs.csv", "contents.json", "done.json", "tensorboard",
    }  # fmt: skip
    epochs = pd.read_csv(folder / "epochs.csv")
    assert list(epochs.columns) == EPOCH_COLUMNS
    assert epochs["step"].tolist() == [3, 6, 9]  # 24 real training rows, batch 8
    assert epochs.notna().all().all()
    classifier, card = load_trial(folder)
    rows, splits = read_table(where.clean_rows), read_table(where.splits)
    training = rows[rows["row_id"].isin(splits.loc[splits["split"] == "train", "row_id"])]
    assert read_contents(folder / "contents.json") == set(training["content_id"])
    assert card.contents == read_json(folder / "contents.json")["sha256"]
    assert (card.size, card.channels, card.classes, card.task) == (SIDE, 1, ("c0", "c1"), "binary")
    assert card.training_prior == card.natural_prior == pytest.approx(tuple(training[["y_c0", "y_c1"]].mean()))
    assert card.best_epoch == epochs["val_loss"].idxmin() + 1
    assert classifier(torch.zeros(2, 1, SIDE, SIDE, dtype=torch.uint8)).shape == (2, 2)


@pytest.mark.parametrize(
    ("task", "classes", "channels", "settings"),
    [
        ("multiclass", 3, 3, {"loss": "focal", "label_smoothing": 0.1}),
        ("multilabel", 3, 1, {"loss": "bce", "early_stop": {"patience": 1, "watch": "auroc"}}),
        ("binary", 2, 1, {"loss": "auc_margin", "augment": "cutmix"}),
    ],
)
def test_every_task_is_learnt(
    tmp_path: Path, task: Task, classes: int, channels: int, settings: dict[str, Any]
) -> None:
    settings = {name: value for name, value in settings.items() if name != "balance"}
    where = trained(tmp_path, settings | {"epochs": 1}, task, classes=classes, channels=channels)
    classifier, card = load_trial(folder_of(where))
    assert card.channels == channels
    assert classifier(torch.zeros(1, channels, SIDE, SIDE)).shape == (1, classes)


def test_the_normalisation_is_that_of_the_plans_pixels(tmp_path: Path) -> None:
    where = trained(tmp_path, {"epochs": 1, "steps": 1})
    study = small_study(tmp_path, {})
    material = material_of(study, where, next(trials(study, where)))
    pixels = material.stack.take(material.places) / 255
    _, card = load_trial(where.trial(TRIAL))
    assert card.mean == pytest.approx((pixels.mean(),), abs=1e-6)
    assert card.std == pytest.approx((pixels.std(),), abs=1e-6)
    colour = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3)).astype(np.uint8)
    mean, std = mean_and_std(Stack([colour]), np.array([1, 5, 5, 7]))
    chosen = colour[[1, 5, 7]] / 255
    assert mean == pytest.approx(chosen.mean(axis=(0, 1, 2)))
    assert std == pytest.approx(chosen.std(axis=(0, 1, 2)))


def test_images_normalised_by_themselves_say_so_on_the_card(tmp_path: Path) -> None:
    where = trained(tmp_path, {"epochs": 1, "steps": 1, "normalise": "image"})
    classifier, card = load_trial(folder_of(where))
    assert card.normalise == "image"
    assert (card.mean, card.std) == ((0.0,), (1.0,))
    assert classifier.each_by_its_own


@pytest.mark.parametrize(("setting", "old", "new"), [("normalise", "dataset", "image"), ("keep", "best", "last")])
def test_older_trainings_stay_done_when_a_setting_is_added(tmp_path: Path, setting: str, old: str, new: str) -> None:
    studies = [small_study(tmp_path, {"early_stop": None, setting: way}) for way in (old, new)]
    written = [next(trials(study, StudyDir(tmp_path))).settings["train"] for study in studies]
    assert setting not in written[0]  # the key of a training is what it was before there was a choice
    assert written[1][setting] == new


def parts_of(where: StudyDir) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The backbone's and the head's weights of the study's only trial."""
    state = load_trial(folder_of(where))[0].state_dict()
    head = {name: tensor for name, tensor in state.items() if ".dense." in name}
    return {name: tensor for name, tensor in state.items() if name not in head}, head


def test_head_leaves_the_backbone_and_its_batch_norm_alone(tmp_path: Path) -> None:
    resnet = {"models": ["resnet18"], "size": 32, "epochs": 1, "batch": 12}
    untouched = trained(
        tmp_path / "a", resnet | {"steps": 1, "optimiser": {"name": "sgd", "lr": 1e-12}, "regime": "head"}
    )
    learnt = trained(
        tmp_path / "b", resnet | {"epochs": 4, "regime": "head", "optimiser": {"name": "adamw", "lr": 0.1}}
    )
    both = trained(tmp_path / "c", resnet | {"steps": 4, "regime": {"name": "head_then_full", "head": 0.5}})
    backbone, head = parts_of(untouched)
    assert all(torch.equal(tensor, backbone[name]) for name, tensor in parts_of(learnt)[0].items())
    assert not torch.equal(parts_of(learnt)[1]["backbone.dense.output.weight"], head["backbone.dense.output.weight"])
    assert any(not torch.equal(tensor, backbone[name]) for name, tensor in parts_of(both)[0].items())
    assert not list(tmp_path.rglob("features*.npy"))
    assert not list(tmp_path.rglob("*checkpoint*"))
    epochs = pd.read_csv(folder_of(both) / "epochs.csv")
    assert epochs["step"].tolist() == [2, 4]
    assert epochs["epoch"].tolist() == [1, 2]


def test_the_last_epoch_of_the_last_phase_is_kept_where_it_is_wanted(tmp_path: Path) -> None:
    rising = {"name": "adamw", "lr": 0.3}  # the validation loss grows a hundredfold when the whole network learns
    small = {"models": ["plain_cnn"], "size": 32, "epochs": 1, "batch": 12, "steps": 4, "optimiser": rising}
    regime = {"regime": {"name": "head_then_full", "head": 0.5}, "schedule": "constant", "early_stop": None}
    for keep, epoch in (("best", 1), ("last", 2)):
        where = trained(tmp_path / keep, small | regime | {"keep": keep})
        assert load_trial(folder_of(where))[1].best_epoch == epoch


def test_cached_features_train_the_head_as_the_frozen_network_would(tmp_path: Path) -> None:
    """One pass over features equals one pass over pixels through the frozen backbone."""
    where = small_directory(tmp_path)
    study = small_study(tmp_path, {"regime": "head", "epochs": 1, "clip": None})
    plan_and_train(study, where)
    trial = next(trials(study, where))
    material = material_of(study, where, trial)
    loss = _loss(trial, material)
    classifier = _classifier(where, trial, material, loss, machine())
    classifier.freeze()
    head = classifier.backbone.dense
    groups = [{"params": [head.output.weight]}, {"params": [head.output.bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=1e-3, weight_decay=1e-4)
    schedule = one_cycle(optimiser, 3)
    sampler = material.sampler(8, step_seed(0, 0))
    for step in range(3):
        chosen = sampler.rows(step)
        images = torch.from_numpy(material.stack.take(material.places[chosen]))[:, None]
        labels = torch.from_numpy(material.labels[chosen])
        value = loss(classifier.train().train_logits(images).logits, labels, torch.ones_like(labels))
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
    kept, _ = load_trial(where.trial(TRIAL))
    torch.testing.assert_close(kept.backbone.dense.output.weight, head.output.weight, rtol=1e-5, atol=1e-6)


def test_a_label_told_three_ways_leaves_one_logit_per_class(tmp_path: Path) -> None:
    where = small_directory(tmp_path, "multilabel", classes=3)
    rows = read_table(where.clean_rows)
    rows.loc[::4, "y_c1"] = -1.0
    rows.loc[1::5, "y_c2"] = np.nan
    write_table(rows, where.clean_rows, {})
    settings = {"loss": "weighted_bce", "uncertain": {"c1": "multi_class", "c2": "ones"}, "epochs": 1}
    plan_and_train(small_study(tmp_path, settings), where)
    classifier, card = load_trial(where.trial(TRIAL))
    assert classifier(torch.zeros(1, 1, SIDE, SIDE)).shape == (1, 3)
    assert len(card.training_prior) == 3
    with pytest.raises(WrongRequest, match="cannot be mixed by augment: mixup"):
        plan_and_train(small_study(tmp_path, settings | {"augment": "mixup"}), where)
    for idle in ({}, {"loss": "bce", "label_smoothing": 0.1}):
        with pytest.raises(WrongRequest, match=r"train\.loss and train\.label_smoothing would do nothing"):
            plan_and_train(small_study(tmp_path, settings | {"uncertain": "multi_class"} | idle), where)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"models": ["resnet18"], "size": 32, "batch": 1}, "BatchNorm in resnet18 cannot learn from it"),
        ({"loss": "bce", "uncertain": {"c9": "zeros"}}, "no class 'c9'"),
        ({"models": ["resnet18"], "size": 16}, "size 16 is too small for resnet18"),
        ({"engine": {"precision": "fp16"}}, "fp16 needs a GPU"),
        ({"regime": {"name": "head", "views": 2}, "augment": "mixup"}, "views of one image cannot be made"),
    ],
)
def test_wrong_requests_are_told(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    where = small_directory(tmp_path)
    study = small_study(tmp_path, settings)
    with pytest.raises(WrongRequest, match=message):
        plan_and_train(study, where)
    assert not list(where.root.rglob("train/**/done.json"))
    assert {unit.state() for unit in train.units(study, where)} <= {"failed", "missing"}


def test_a_loss_that_explodes_is_told_with_its_step(tmp_path: Path) -> None:
    settings = {"optimiser": {"name": "sgd", "lr": 1e30}, "clip": None, "schedule": "constant"}
    with pytest.raises(BadData, match=r"plain/plain_cnn/r0f0s0: the loss is \S+ at step \d"):
        plan_and_train(small_study(tmp_path, settings), small_directory(tmp_path))


def test_weights_that_saw_a_test_row_are_refused(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", {"epochs": 1})
    where = small_directory(tmp_path / "second")
    settings = {"weights": f"trial:{first.root}/plain/plain_cnn", "epochs": 1}
    plan_and_train(small_study(tmp_path / "second", settings), where)  # the same data, the same split: no leak
    assert load_trial(where.trial(TRIAL))[1].weights == "trial:small/plain/plain_cnn/r0f0s0"
    splits, rows = read_table(where.splits), read_table(where.clean_rows)
    test_row = rows[rows["row_id"] == splits.loc[splits["split"] == "test", "row_id"].iloc[0]]
    write_contents(first.trial(TRIAL) / "contents.json", test_row["content_id"])
    with pytest.raises(Leak, match=r"weights trial:small/plain/plain_cnn.* was fitted on 1 of the rows"):
        plan_and_train(small_study(tmp_path / "second", settings | {"seeds": [7]}), where)


def test_another_weight_file_of_the_same_name_makes_a_trial_stale(tmp_path: Path) -> None:
    first = trained(tmp_path / "first", {"epochs": 1})
    where, file = small_directory(tmp_path / "second"), tmp_path / "first.safetensors"
    study = small_study(tmp_path / "second", {"epochs": 1, "weights": str(file)})
    file.write_bytes((first.trial(TRIAL) / "best.safetensors").read_bytes())
    plan_and_train(study, where)
    assert [unit.state() for unit in train.units(study, where)] == ["done"]
    file.write_bytes((where.trial(TRIAL) / "best.safetensors").read_bytes())
    assert [unit.state() for unit in train.units(study, where)] == ["stale"]


def test_another_task_makes_a_trial_stale(tmp_path: Path) -> None:
    where = trained(tmp_path, {"epochs": 1, "loss": "bce"})
    study, dataset = small_study(tmp_path, {"epochs": 1, "loss": "bce"}), read_dataset(where.dataset)
    write_dataset(replace(dataset, task="multilabel"), where.dataset)
    assert [unit.state() for unit in train.units(study, where)] == ["stale"]
    train.run(study, where)
    assert load_trial(where.trial(TRIAL))[1].task == "multilabel"
    write_dataset(dataset, where.dataset)
    assert [unit.state() for unit in train.units(study, where)] == ["stale"]
    write_dataset(replace(dataset, classes=["c0", "new"]), where.dataset)  # gathered anew, not prepared yet
    assert [unit.state() for unit in train.units(study, where)] == ["stale"]


@pytest.mark.parametrize("left", ["full.best.safetensors", "full.checkpoint.safetensors"])
def test_a_trial_killed_while_it_cleared_up_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        if path.name == left:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path, {"epochs": 1})
    where = StudyDir(tmp_path)
    plan_and_train(small_study(tmp_path, {"epochs": 1}), where)
    assert load_trial(where.trial(TRIAL))[1].best_epoch == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="about processors")
def test_a_trial_killed_before_its_card_was_written_ends_as_if_it_had_not_been(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "multiplies_bf16", lambda: True)
    small = {"models": ["efficientnet_b0"], "size": 32, "steps": 2, "regime": {"name": "head_then_full", "head": 0.5}}

    def killed(path: Path, contents: Iterable[str]) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("secondread.train.trial.write_contents", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(tmp_path / "killed", small)
    where = StudyDir(tmp_path / "killed")
    (where.trial("plain/efficientnet_b0/r0f0s0") / "features.npy").write_bytes(b"of a phase that a kill fell upon")
    plan_and_train(small_study(tmp_path / "killed", small), where)
    folders = [folder_of(where), folder_of(trained(tmp_path / "whole", small))]
    left = [sorted(path.name for path in folder.iterdir()) for folder in folders]
    assert left[0] == left[1]
    cards = [read_json(folder / "card.json") | {"seconds": 0} for folder in folders]
    assert cards[0] == cards[1]
    assert cards[0]["precision"] == "fp32"  # its convolutions are depthwise


def test_a_plan_with_a_held_out_row_is_refused(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    study = small_study(tmp_path, {})
    balance.run(study, where)
    plan, splits = read_table(where.plan("plain", 0, 0)), read_table(where.splits)
    plan.loc[0, "row_id"] = splits.loc[splits["split"] == "test", "row_id"].iloc[0]
    write_table(plan, where.plan("plain", 0, 0), PLAN_COLUMNS)
    with pytest.raises(Leak, match="trial plain/plain_cnn/r0f0s0 was fitted on 1 of the rows"):
        train.run(study, where)


def test_two_processes_give_the_loss_curve_of_one(tmp_path: Path) -> None:
    curves = []
    for count in ("auto", 2):
        root = tmp_path / str(count)
        where = small_directory(root)
        settings = {
            "engine": {"devices": count, "precision": "fp32"},
            "epochs": 3,
            "optimiser": {"name": "adamw", "lr": 0.01},
        }
        plan_and_train(small_study(root, settings), where)
        curves.append(pd.read_csv(where.trial(TRIAL) / "epochs.csv")[["train_loss", "val_loss", "val_accuracy"]])
    np.testing.assert_allclose(curves[0], curves[1], atol=1e-5)


def test_a_training_for_two_nodes_does_not_begin_on_one(tmp_path: Path) -> None:
    where = small_directory(tmp_path)
    with pytest.raises(WrongRequest, match=r"engine.nodes: 2, but 1 process is here"):
        plan_and_train(small_study(tmp_path, {"engine": {"nodes": 2}}), where)
    assert not where.trial(TRIAL).joinpath("checkpoint.safetensors").exists()


def test_logits_of_uncertainty_are_cut_off_where_they_can_be(tmp_path: Path) -> None:
    """A hidden layer may be as wide as there are logits; the last convolution of DarkCovidNet always is."""
    where = small_directory(tmp_path, "multilabel", classes=3)
    base = {"loss": "bce", "uncertain": {"c1": "multi_class"}, "epochs": 1, "head": {"hidden": 4}}
    plan_and_train(small_study(tmp_path, base), where)
    assert load_trial(where.trial(TRIAL))[0].backbone.dense.hidden.out_features == 4
    study = small_study(tmp_path, base | {"models": ["darkcovidnet"], "size": 64, "head": {}})
    for step in (train.ready, plan_and_train):
        with pytest.raises(WrongRequest, match="darkcovidnet cannot be cut to fewer once it is trained"):
            step(study, where)


def test_more_processes_than_gpus_are_not_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    where = small_directory(tmp_path)
    with pytest.raises(WrongRequest, match=r"train\.engine\.devices: 2, but this machine has 1 GPU"):
        plan_and_train(small_study(tmp_path, {"engine": {"devices": 2}}), where)
    with pytest.raises(WrongRequest, match="but this machine has 1 GPU"):
        tune(small_study(tmp_path, {"engine": {"devices": 2}, "search": {"batch": [8]}}), where, 1)


SLOW_SECOND = """
import os
if os.environ.get("RANK") == "1":
    import select
    import safetensors.torch as files
    real = files.load_file
    def late(*given, **options):
        select.select([], [], [], 1.5)
        return real(*given, **options)
    files.load_file = late
"""


def test_a_process_that_lags_behind_finds_the_weights_it_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first process clears them away; the second is held up before it opens them, by a file that Python runs."""
    (tmp_path / "late").mkdir()
    (tmp_path / "late" / "sitecustomize.py").write_text(SLOW_SECOND)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "late"), *filter(None, sys.path)]))
    where = small_directory(tmp_path / "study")
    plan_and_train(small_study(tmp_path / "study", {"engine": {"devices": 2}, "epochs": 1}), where)
    assert (where.trial(TRIAL) / "best.safetensors").exists()
    assert not list(where.trial(TRIAL).glob("full.*"))
