"""A trained network on squares: panels for people, figures that beat what no model would score."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from export.finished_study import SIZE, Finished, finished_study
from secondread.core.errors import BadData
from secondread.core.spec import Engine, as_yaml
from secondread.core.studyfile import parse_study
from secondread.core.tables import read_dataset, read_table
from secondread.explain import explaining, quality, run
from secondread.explain.faithfulness import randomised
from secondread.explain.grad_cam import explain
from secondread.explain.localisation import best_cut, centre_prior
from secondread.explain.masks import Masks, find_masks
from secondread.explain.selection import judge_rows
from secondread.export import bundling
from secondread.export import run as export
from secondread.images.cache import open_for
from secondread.learning.devices import set_threads
from secondread.models.build import load_trial
from secondread.models.chosen import picked, point_of


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    settings = {"masks": "masks", "cases": 9, "methods": ["grad_cam", "layer_cam"]}
    made = finished_study(tmp_path_factory.mktemp("explained"), steps=45, explain=settings)
    run.run(made.study, made.where)
    return made


def folder(made: Finished) -> Path:
    return made.where.explain("plain", "plain_cnn")


def test_cases_and_panels(explained: Finished) -> None:
    assert [unit.state() for unit in run.units(explained.study, explained.where)] == ["done"]
    told = json.loads((folder(explained) / "cases.json").read_text())
    assert len(told["cases"]) == 9
    assert told["split"] == "test"
    for case in told["cases"]:
        with Image.open(folder(explained) / case["panel"]) as panel:
            assert panel.width > 3 * 224
        assert set(case["maps"]) == {"grad_cam", "layer_cam"}
        assert set(case["probabilities"]) == {"normal", "square"}
        right = case["truth"] == case["decision"]
        assert right == (case["group"] == "right")
        for of_label in case["maps"]["grad_cam"].values():
            assert of_label["evidence"] == (of_label["maximum"] > 0)
    for name in told["sheets"].values():
        assert (folder(explained) / name).exists()


def test_reading_test_rows_is_logged(explained: Finished) -> None:
    log = [json.loads(line) for line in explained.where.test_reads.read_text().splitlines()]
    assert {entry["step"] for entry in log} == {"explain"}


@pytest.mark.parametrize(
    ("step", "module", "reads"), [(run, explaining, "load_trial"), (export, bundling, "load_members")]
)
def test_a_step_alone_takes_the_threads_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: ModuleType, module: ModuleType, reads: str
) -> None:
    own = torch.get_num_threads()
    made = finished_study(tmp_path, steps=1)
    written = as_yaml(made.study)
    study = parse_study(written | {"train": written["train"] | {"engine": {"threads": own + 1}}})

    def counted(*_: object) -> None:
        raise BadData(f"{torch.get_num_threads()} threads")

    monkeypatch.setattr(module, reads, counted)
    with pytest.raises(BadData, match=f"{own + 1} threads"):
        step.run(study, made.where)
    set_threads(Engine())
    assert torch.get_num_threads() == own


def figures(made: Finished) -> pd.DataFrame:
    table = pd.read_csv(folder(made) / "quality.csv")
    return table[table["class"] == "all"].set_index(["measure", "method"])


def test_a_trained_model_points_better_than_the_centre_and_than_a_randomised_one(explained: Finished) -> None:
    told = figures(explained)
    for measure in ("pointing_game", "mass_in_mask", "iou"):
        for baseline in ("centre_prior", "random_weights", "randomised_model"):
            assert told.loc[(measure, "grad_cam"), "value"] > told.loc[(measure, baseline), "value"]
    assert told.loc[("pointing_game", "grad_cam"), "low"] > told.loc[("pointing_game", "randomised_model"), "high"]
    assert (told["low"] <= told["value"]).all()
    assert (told["value"] <= told["high"]).all()
    assert told.loc[("missed", "model"), "n"] == 30


def test_baselines_too_are_cut_where_validation_says(explained: Finished) -> None:
    where, size = explained.where, SIZE
    table = pd.read_csv(folder(explained) / "quality.csv")
    overlap = table[(table["measure"] == "iou") & (table["class"] == "all")].set_index("method")
    assert set(overlap.index) == {"grad_cam", "layer_cam", "centre_prior", "random_weights", "randomised_model"}
    trial, cache = picked(explained.study, where).trial, open_for(where, size, "stretch")
    masks = find_masks(read_dataset(where.dataset), where.data, "masks", cache)
    assert masks is not None
    val = judge_rows(read_table(where.predictions(trial.name)), "val", point_of(where, trial))
    found, _, truth = quality._masked(val, masks)
    cut = best_cut([centre_prior(size)] * len(found), [truth[target] for target in found])
    assert f"above {cut:g} " in overlap.loc["centre_prior", "note"]
    others = overlap.loc[["random_weights", "randomised_model"], "note"]
    assert not others.str.contains("above 0.5 ").all()


def test_randomising_changes_the_maps(explained: Finished) -> None:
    table = pd.read_csv(folder(explained) / "quality.csv")
    alike = table[table["measure"] == "rank_correlation_after_randomising"]
    assert alike["value"].iloc[-1] < 0.6
    classifier, _ = load_trial(explained.where.trial("plain/plain_cnn/r0f0s0"))
    before = {name: tensor.clone() for name, tensor in classifier.state_dict().items()}
    copies = randomised(classifier)
    assert len(copies) == 5
    for name, tensor in classifier.state_dict().items():
        assert torch.equal(tensor, before[name])
    for name, tensor in copies[-1][1].state_dict().items():
        if "weight" in name:
            assert not torch.equal(tensor, before[name])
            assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)


def test_a_planted_shortcut_pulls_the_map_to_the_token(tmp_path: Path) -> None:
    made = finished_study(tmp_path, steps=30, token=True, explain={"masks": "masks", "cases": 3})
    run.run(made.study, made.where)
    told = figures(made)
    area = told.loc[("mass_on_marker", "even_map"), "value"]
    assert told.loc[("mass_on_marker", "grad_cam"), "low"] > 2 * area
    assert told.loc[("pointing_game", "grad_cam"), "high"] < 0.5  # and away from the finding


def test_other_settings_make_it_stale(explained: Finished) -> None:
    written = as_yaml(explained.study)
    other = parse_study(written | {"explain": written["explain"] | {"cases": 3}})
    assert run.units(other, explained.where)[0].state() == "stale"


def test_maps_of_an_arm_that_is_gone_are_set_aside(explained: Finished, capsys: pytest.CaptureFixture[str]) -> None:
    own, gone = folder(explained), explained.where.explain("other", "plain_cnn")
    shutil.copytree(own, gone)
    run.run(explained.study, explained.where)
    assert "other/plain_cnn is of an earlier state of the study; moved to explain/earlier/other/plain_cnn" in (
        capsys.readouterr().err
    )
    assert sorted(path.parent for path in (explained.where.root / "explain").glob("*/*/cases.json")) == [own]
    assert (explained.where.root / "explain" / "earlier" / "other" / "plain_cnn" / "cases.json").exists()


@pytest.mark.parametrize("lost", ["right.png", "panels/right-00.png"])
def test_pictures_that_were_lost_are_made_again(explained: Finished, tmp_path: Path, lost: str) -> None:
    shutil.copytree(explained.where.root, tmp_path / "study")
    where = replace(explained.where, root=tmp_path / "study")
    (where.explain("plain", "plain_cnn") / lost).unlink()
    assert [unit.state() for unit in run.units(explained.study, where)] == ["missing"]


def test_many_cases_go_through_the_network_a_few_at_a_time(explained: Finished) -> None:
    one = picked(explained.study, explained.where)
    classifier, _ = load_trial(explained.where.trial(one.trial.name))
    cache, asked = open_for(explained.where, SIZE, "stretch"), []

    def images(row_ids: Sequence[str]) -> NDArray[np.uint8]:
        asked.append(len(row_ids))
        return cache.take(row_ids)[:, None]

    ids = list(explained.rows["row_id"].iloc[:40])
    subject = quality.Subject(classifier.eval(), point_of(explained.where, one.trial), images, ("grad_cam",))
    shown = list(explaining._with_maps(subject, ids))
    assert asked == [16, 16, 8]
    wanted = explain(subject.classifier, torch.from_numpy(images(ids)), ("grad_cam",))["grad_cam"].numpy()
    np.testing.assert_array_equal(np.stack([image for image, _ in shown]), images(ids))
    np.testing.assert_allclose(np.stack([maps["grad_cam"] for _, maps in shown]), wanted, rtol=1e-4, atol=1e-6)


def test_masks_by_image_by_class_and_beside_a_phantom(explained: Finished, tmp_path: Path) -> None:
    dataset = read_dataset(explained.where.dataset)
    cache = open_for(explained.where, SIZE, "stretch")
    masks = find_masks(dataset, explained.where.data, "masks", cache)
    assert masks is not None
    positive = next(row for row in explained.rows["row_id"] if row.startswith("square"))
    whole = masks.of(positive, "square")
    assert whole is not None
    assert whole.sum() == 100
    assert masks.of("square/none.png", "square") is None
    named = tmp_path / "set_truth" / "phantom_masks" / "scan"
    named.mkdir(parents=True)
    for number, name in enumerate(("Nodule", "Effusion", "marker")):
        shape = np.zeros((64, 64), np.uint8)
        shape[16 * number : 16 * number + 8, :32] = 255
        Image.fromarray(shape).save(named / f"{name}.png")
    exclusive = find_masks(type(dataset)(**{**vars(dataset), "root": str(tmp_path / "set")}), None, None, cache)
    assert exclusive is not None
    every = exclusive.of("scan.png", "square")
    assert every is not None
    assert every.sum() == 2 * 4 * 16
    assert exclusive.of("scan.png", "normal") is None
    marker = exclusive.marker("scan.png")
    assert marker is not None
    assert marker.sum() == 4 * 16
    labels = type(dataset)(**{**vars(dataset), "task": "multilabel", "classes": ["Nodule", "Mass"]})
    own = Masks(named.parent, labels, SIZE, "stretch", 0.0)
    nodule = own.of("scan.dcm#0", "Nodule")
    assert nodule is not None
    assert nodule.sum() == 4 * 16
    assert own.of("scan.dcm", "Mass") is None
    with pytest.raises(BadData, match="not a folder"):
        find_masks(dataset, explained.where.data, "nowhere", cache)
    assert find_masks(dataset, explained.where.data, None, cache) is None
