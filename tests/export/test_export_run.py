"""From a finished study to a bundle: done once, proven, self-contained, and stale only when it should be."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from export.finished_study import Finished, finished_study, square_image
from secondread.api import Result
from secondread.core.errors import BadData, WrongRequest
from secondread.core.files import read_json, write_json, write_text
from secondread.core.leakage import marks
from secondread.core.spec import Study, as_yaml
from secondread.core.studyfile import parse_study
from secondread.core.tables import read_dataset, read_table, write_dataset
from secondread.export import run
from secondread.export.card import model_card_text
from secondread.metrics.calibration import fit_operating_point
from secondread.models.build import load_trial
from secondread.models.bundle import Bundle
from secondread.models.bundle.container import LARGEST
from secondread.models.chosen import chosen, picked


def folder(made: Finished) -> Path:
    return made.where.export("plain", "plain_cnn")


def changed(study: Study, **export: object) -> Study:
    written = as_yaml(study)
    return parse_study(written | {"export": written["export"] | export})


def test_the_bundle_holds_its_files_and_opens_anywhere(exported: Finished, tmp_path: Path) -> None:
    assert {path.name for path in folder(exported).iterdir()} == {*LARGEST, "done.json"}
    assert [unit.state() for unit in run.units(exported.study, exported.where)] == ["done"]
    moved = Path(shutil.copytree(folder(exported), tmp_path / "moved"))
    zipped = folder(exported).with_name("plain_cnn.zip")
    assert Bundle.open(moved, threads=1).sha256 == Bundle.open(zipped, threads=1).sha256


def test_reading_a_file_gives_the_study_s_prediction(exported: Finished) -> None:
    """Decoder, graph and calibration together: the table's logits at the operating point."""
    from secondread.models.chosen import point_of

    bundle = Bundle.open(folder(exported), threads=1)
    trial = picked(exported.study, exported.where).trial
    table = read_table(exported.where.predictions(trial.name)).head(12)
    point = point_of(exported.where, trial)
    logits = table[["logit_normal", "logit_square"]].to_numpy(np.float64)
    for row, wanted in zip(table["row_id"], point.probabilities(logits), strict=True):
        assert exported.where.data is not None
        reading = bundle.read(exported.where.data / str(row))
        assert list(reading.probabilities.values()) == pytest.approx(wanted, abs=1e-5)
        named = dict(zip(point.classes, point.decide(wanted[None])[0], strict=True))
        assert isinstance(reading.decision, str)
        assert named[reading.decision] == 1


def test_a_study_of_first_frames_exports_a_reader_of_first_frames(tmp_path: Path) -> None:
    made = finished_study(tmp_path, steps=2)
    assert read_json(made.where.pixels).get("frames", "refuse") == "refuse"
    write_json(made.where.pixels, read_json(made.where.pixels) | {"frames": "first"})
    run.run(made.study, made.where)
    assert Bundle.open(folder(made), threads=1).card.frames == "first"
    assert "of a file with several frames the first" in (folder(made) / "MODEL_CARD.md").read_text()


def test_an_image_normalised_by_itself_is_read_alike_at_another_exposure(tmp_path: Path) -> None:
    """The graph does it, and the card of the model says it: whoever reads needs to know nothing of it."""
    made = finished_study(tmp_path, steps=30, normalise="image")
    run.run(made.study, made.where)
    bundle = Bundle.open(folder(made), threads=1)
    pixels = np.stack([square_image(number, number % 2 == 1)[0] for number in range(40)])[:, None]
    dim = np.round(pixels * 0.6 + 10).astype(np.uint8)
    as_it_is, dimmed = bundle.run(pixels, heatmaps=True), bundle.run(dim, heatmaps=True)
    np.testing.assert_allclose(dimmed.probabilities, as_it_is.probabilities, atol=0.02)
    assert as_it_is.heatmaps is not None
    assert dimmed.heatmaps is not None
    assert np.corrcoef(as_it_is.heatmaps.ravel(), dimmed.heatmaps.ravel())[0, 1] > 0.99
    assert "each image by its own mean and spread" in (folder(made) / "MODEL_CARD.md").read_text()
    classifier, _ = load_trial(made.where.trial(picked(made.study, made.where).trial.name))
    with torch.inference_mode():
        wanted = classifier(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(as_it_is.logits, wanted, atol=1e-3)


def test_the_card_says_what_was_measured(exported: Finished) -> None:
    card = Bundle.open(folder(exported), threads=1).card
    assert card.parity["images"] == 60
    assert card.parity["share_of_spread"] <= 1e-4
    assert card.parity["flips"] == 0
    assert card.parity["heat_correlation"] >= 0.999
    assert card.gate is not None
    assert (card.gate.fitted_on, card.gate.checked_on) == (120, 60)
    assert card.cohort["splits"]["test"] == {
        "images": 60, "patients": 60, "classes": {"normal": 30, "square": 30}, "sex": {"F": 40, "M": 20},
        "age": card.cohort["splits"]["test"]["age"],
    }  # fmt: skip
    assert {row["metric"] for row in card.metrics} == {"auroc", "recall"}
    assert card.precision_reason.startswith("int8")
    assert card.texts == {"square": "A square."}
    text = (folder(exported) / "MODEL_CARD.md").read_text()
    for word in ("not a medical device", "Intended use", "Known failures", "Licence", "| test | macro | auroc |"):
        assert word in text
    assert str(exported.where.root) not in text + (folder(exported) / "card.json").read_text()


def test_odd_names_break_neither_the_heading_nor_the_tables_of_the_model_card(exported: Finished) -> None:
    card = Bundle.open(folder(exported), threads=1).card
    odd = dict(zip(card.classes, ("normal", "sq|uare"), strict=True))
    rows = [row | {"class": odd.get(row["class"], row["class"])} for row in card.metrics]
    told = replace(
        card, name="squares/a: b/#1", classes=list(odd.values()), metrics=rows,
        thresholds={odd[name]: value for name, value in card.thresholds.items()},
        uncertain={odd[name]: value for name, value in card.uncertain.items()},
    )  # fmt: skip
    text = model_card_text(told, exported.study)
    assert yaml.safe_load(text.split("---")[1])["model_name"] == "squares/a: b/#1"
    bare = [line.replace(r"\|", "") for line in text.splitlines() if line.startswith("| ") and "uare" in line]
    assert len(bare) >= 2
    assert {line.count("|") for line in bare if line.startswith("| sq")} == {4}


def test_a_bundle_knows_what_it_was_fitted_on(exported: Finished) -> None:
    """Its training rows and the validation rows that chose its threshold; none of those it was tested on."""
    seen = Bundle.open(folder(exported), threads=1).seen
    assert seen is not None
    rows = exported.rows.merge(read_table(exported.where.splits), on="row_id")
    assert set(rows["split"]) == {"train", "val", "test"}
    assert np.isin(marks(rows["content_id"]), seen).tolist() == (rows["split"] != "test").tolist()


def test_the_gate_passes_about_what_it_promises(exported: Finished) -> None:
    bundle = Bundle.open(folder(exported), threads=1)
    assert exported.where.data is not None
    own = [bundle.read(exported.where.data / str(row)) for row in exported.rows["row_id"].tail(60)]
    assert sum(reading.status == "refused" for reading in own) <= 6
    stripes = np.tile(np.array([0, 255], np.uint8), (32, 16))[None, None]
    (foreign,) = bundle.judge(bundle.run(stripes))
    assert foreign.status == "refused"


def test_int8_is_judged_and_never_replaces_fp32(exported: Finished) -> None:
    card = Bundle.open(folder(exported), threads=1).card
    assert card.precision == "fp32"
    twin = folder(exported).with_name("plain_cnn-int8")
    assert twin.exists() == ("kept" in card.precision_reason)
    if twin.exists():
        assert Bundle.open(twin, threads=1).card.precision == "int8"


def test_nothing_of_an_earlier_export_stays_beside_a_new_one(tmp_path: Path) -> None:
    made = finished_study(tmp_path, steps=2, export={"int8": False})
    int8, measured = folder(made).with_name("plain_cnn-int8") / "model.onnx", folder(made) / "bench.json"
    for stale in (int8, measured):
        write_text(stale, "of another training")
    run.run(made.study, made.where)
    assert (folder(made) / "model.onnx").exists()
    assert not int8.parent.exists()
    assert not measured.exists()
    measured.write_text("[]")
    run.run(made.study, made.where)  # done: what was measured of this one stays
    assert measured.exists()
    folder(made).with_name("plain_cnn.zip").unlink()
    assert run.units(made.study, made.where)[0].state() == "missing"


def copied(made: Finished, path: Path) -> Finished:
    shutil.copytree(made.where.root, path)
    return replace(made, where=replace(made.where, root=path))


def test_another_operating_point_makes_the_bundle_stale(exported: Finished, tmp_path: Path) -> None:
    made = copied(exported, tmp_path / "study")
    assert run.units(made.study, made.where)[0].state() == "done"
    path = made.where.operating("plain", "plain_cnn")
    told = read_json(path)
    for point in told.values():
        point["temperature"] *= 2
    write_json(path, told)
    assert run.units(made.study, made.where)[0].state() == "stale"


def test_another_text_of_a_class_makes_the_bundle_stale(exported: Finished, tmp_path: Path) -> None:
    made = copied(exported, tmp_path / "study")
    dataset = replace(read_dataset(made.where.dataset), texts={"square": "Four corners."})
    write_dataset(dataset, made.where.dataset)
    assert run.units(made.study, made.where)[0].state() == "stale"


def test_a_bundle_of_a_training_that_is_gone_is_set_aside(
    exported: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = copied(exported, tmp_path / "study")
    own, gone = folder(made), made.where.export("other", "plain_cnn")
    shutil.copytree(own, gone)
    run.run(made.study, made.where)
    assert "other/plain_cnn is of an earlier state of the study; moved to export/earlier/other/plain_cnn" in (
        capsys.readouterr().err
    )
    assert own.is_dir()
    assert not gone.exists()
    Bundle.open(made.where.root / "export" / "earlier" / "other" / "plain_cnn", threads=1)
    assert Result(made.where).bundles == [own]


def test_what_only_leaves_out_is_not_set_aside(exported: Finished, tmp_path: Path) -> None:
    """The scores of a command with --only are those of its trials, so that other bundles would look stale."""
    made = copied(exported, tmp_path / "study")
    own, other = folder(made), made.where.export("other", "plain_cnn")
    shutil.copytree(own, other)
    run.run(made.study, replace(made.where, only="plain/*"))
    run.run(made.study, replace(made.where, only="plain/plain_cnn/r0f0s?"))
    assert other.is_dir()
    gone = made.where.export("plain", "resnet18")
    shutil.copytree(own, gone)
    run.run(made.study, replace(made.where, only="plain/*"))
    assert other.is_dir()
    assert not gone.exists()
    run.run(made.study, made.where)
    assert not other.exists()


def test_scores_of_other_arms_do_not_matter_and_own_ones_do(exported: Finished, tmp_path: Path) -> None:
    made = copied(exported, tmp_path / "study")
    scores = pd.read_csv(made.where.scores)
    pd.concat([scores, scores.assign(arm="other", value=0.5)]).to_csv(made.where.scores, index=False)
    assert run.units(made.study, made.where)[0].state() == "done"
    scores.assign(value=scores["value"] / 2).to_csv(made.where.scores, index=False)
    assert run.units(made.study, made.where)[0].state() == "stale"


def test_an_ensemble_averages_the_logits_of_the_seeds(exported: Finished, tmp_path: Path) -> None:
    made = copied(exported, tmp_path / "study")
    study = changed(made.study, ensemble=True, int8=False)
    run.run(study, made.where)
    bundle = Bundle.open(folder(made), threads=1)
    assert bundle.card.members == ["plain/plain_cnn/r0f0s0", "plain/plain_cnn/r0f0s1"]
    tables = [read_table(made.where.predictions(name)).set_index("row_id") for name in bundle.card.members]
    mean = pd.concat(tables).groupby("row_id")[["logit_normal", "logit_square"]].mean()
    from secondread.images.cache import open_for

    ids = list(mean.index[:20])
    pixels = open_for(made.where, 32, "stretch").take(ids)[:, None]
    outputs = bundle.run(pixels, heatmaps=True)
    np.testing.assert_allclose(outputs.logits, mean.loc[ids].to_numpy(), rtol=1e-3, atol=1e-3)
    assert outputs.features.shape == (20, 2 * 64)
    assert outputs.heatmaps is not None


def test_an_ensemble_carries_the_scores_of_its_own_answer_or_says_that_it_has_none(
    exported: Finished, tmp_path: Path
) -> None:
    made = copied(exported, tmp_path / "study")
    study = changed(made.study, ensemble=True, int8=False)
    single = pd.read_csv(made.where.scores)
    means = single[single["seed"] == 0].assign(repeat=-1, fold=-1, seed=-1, method="mean of 2 trainings")
    pd.concat([single, means]).to_csv(made.where.scores, index=False)
    run.run(study, made.where)
    told = "the averaged answer of the 2 seeds in this bundle was not scored itself"
    assert told in (folder(made) / "MODEL_CARD.md").read_text()
    assert "was not scored itself" not in (folder(exported) / "MODEL_CARD.md").read_text()
    own = single[single["seed"] == 0].assign(seed=-1, split="together: " + single["split"], value=0.777)
    pd.concat([single, means, own]).to_csv(made.where.scores, index=False)
    run.run(study, made.where)
    card = Bundle.open(folder(made), threads=1).card
    assert {(row["split"], row["value"]) for row in card.metrics} == {("val", 0.777), ("test", 0.777)}
    assert "was not scored itself" not in (folder(made) / "MODEL_CARD.md").read_text()


def test_an_ensemble_takes_no_figures_of_other_seeds(exported: Finished, tmp_path: Path) -> None:
    """Evaluated whole and exported with --only: the figures in scores.csv are those of more seeds than the bundle."""
    made = copied(exported, tmp_path / "study")
    path = made.where.operating("plain", "plain_cnn")
    points = read_json(path)
    write_json(path, points | {"r0f0s0+1+2": points["r0f0s0"]})
    with pytest.raises(BadData, match=r"of the seeds 0\+1\+2 read together, not 0\+1: run `secondread evaluate`"):
        run.run(changed(made.study, ensemble=True, int8=False), made.where)


def test_an_ensemble_that_lacks_seeds_says_so(
    exported: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = copied(exported, tmp_path / "study")
    study = changed(made.study, ensemble=True, int8=False)
    seed = read_json(made.where.summary)["picked"]["seed"]
    told = "The study asks for an ensemble of 2 seeds; this bundle holds 1: --only left out the others."
    run.run(study, replace(made.where, only=f"*/*/*s{seed}"))
    assert Bundle.open(folder(made), threads=1).card.members == [f"plain/plain_cnn/r0f0s{seed}"]
    assert told in (folder(made) / "MODEL_CARD.md").read_text()
    assert told in capsys.readouterr().err
    run.run(study, made.where)
    assert len(Bundle.open(folder(made), threads=1).card.members) == 2
    assert told not in (folder(made) / "MODEL_CARD.md").read_text()


def test_an_ensemble_keeps_the_sensitivity_that_was_asked_for(exported: Finished, tmp_path: Path) -> None:
    made = copied(exported, tmp_path / "study")
    path = made.where.operating("plain", "plain_cnn")
    write_json(path, {member: point | {"rule": "sensitivity"} for member, point in read_json(path).items()})
    written = as_yaml(made.study) | {"evaluate": {"threshold": {"name": "sensitivity", "sensitivity": 0.5}}}
    study = changed(parse_study(written), ensemble=True, int8=False)
    run.run(study, made.where)
    card = Bundle.open(folder(made), threads=1).card
    tables = [read_table(made.where.predictions(name)).query("split == 'val'") for name in card.members]
    columns = ["logit_normal", "logit_square", "y_normal", "y_square"]
    mean = pd.concat(tables).groupby("row_id")[columns].mean().to_numpy(np.float64)
    asked = fit_operating_point(
        mean[:, :2], mean[:, 2:], task="binary", classes=card.classes, train_prior=[0.5, 0.5],
        natural_prior=[0.5, 0.5], rule=study.evaluate.threshold,
    )  # fmt: skip
    assert card.thresholds["square"] == pytest.approx(asked.thresholds[1], abs=1e-3)


def test_a_bundle_that_does_not_answer_as_its_checkpoint_is_an_error(
    exported: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = copied(exported, tmp_path / "study")
    monkeypatch.setattr("secondread.export.parity.LARGEST_SHARE", 0.0)
    monkeypatch.setattr("secondread.export.parity.LEAST_SPREAD", 1e-30)
    study = changed(made.study, int8=False, ensemble=True)
    with pytest.raises(BadData, match="does not answer"):
        run.run(study, made.where)
    assert run.units(study, made.where)[0].state() == "failed"


def test_choices_by_name(exported: Finished) -> None:
    def names(wanted: str) -> list[str]:
        return [one.trial.name for one in chosen(exported.study, exported.where, wanted)]

    best = read_json(exported.where.summary)["picked"]
    for wanted in ("best", "all", "plain/plain_cnn", "plain_cnn"):
        assert names(wanted) == [f"plain/plain_cnn/r0f0s{best['seed']}"]
    with pytest.raises(WrongRequest, match="plain/plain_cnn"):
        names("plain/resnet18")


def test_nothing_can_be_exported_before_evaluate(exported: Finished, tmp_path: Path) -> None:
    made = copied(exported, tmp_path / "study")
    made.where.summary.unlink()
    with pytest.raises(BadData, match="evaluate"):
        run.units(made.study, made.where)


def test_the_card_is_plain_json(exported: Finished) -> None:
    def no_constant(name: str) -> None:
        raise AssertionError(name)

    json.loads((folder(exported) / "card.json").read_text(), parse_constant=no_constant)
