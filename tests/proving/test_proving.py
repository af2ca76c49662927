"""A bundle held against its card on images from elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

import secondread as sr
from models.tiny_bundle import discs, opened, tiny_bundle
from secondread.core.errors import BadData, Leak, WrongRequest
from secondread.core.files import sha256_of_bytes
from secondread.metrics.cases import cases
from secondread.metrics.claims import FEWEST
from secondread.metrics.defended import scores_with_intervals
from secondread.metrics.resampling import resampling
from secondread.proving import Proof
from secondread.proving import readings as readings_module
from secondread.proving.claims import Claim, claims_of, outcome_of

CLASSES = ["normal", "pneumonia"]
N = 160


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images a patient, no two alike, labelled as the tiny bundle reads them, but for one in eight."""
    folder = tmp_path_factory.mktemp("elsewhere") / "ward"
    drawn = np.random.default_rng(1)
    pixels = drawn.integers(0, 256, (N, 1, 4, 4)).repeat(8, axis=2).repeat(8, axis=3).astype(np.uint8)
    scores = opened(folder.parent / "labeller").run(pixels).probabilities[:, 1]
    sick = (scores > np.median(scores)) ^ (drawn.random(N) < 0.125)
    for at, (image, of_class) in enumerate(zip(pixels[:, 0], sick, strict=True)):
        path = folder / CLASSES[int(of_class)].upper() / f"patient{at // 2:03d}_{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


@pytest.fixture(scope="module")
def proof(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Proof:
    folder = tmp_path_factory.mktemp("proven")
    return sr.prove(bundle_in(folder / "b"), images, out=folder / "p")


def promising(**values: tuple[float, float, float]) -> list[dict[str, Any]]:
    return [
        {"split": "test", "class": "pneumonia", "metric": metric, "value": value, "low": low, "high": high, "n": 500,
         "method": "bootstrap"}
        for metric, (value, low, high) in values.items()
    ]  # fmt: skip


def bundle_in(folder: Path, **fields: Any) -> Path:
    promised = promising(auroc=(0.8, 0.79, 0.81), recall=(0.8, 0.79, 0.81), specificity=(0.8, 0.79, 0.81))
    return tiny_bundle(folder, **({"metrics": promised, "fitted_on": []} | fields))


def test_scores_are_those_of_the_images(proof: Proof) -> None:
    told = proof.readings
    assert len(told) == N
    truth = told["row_id"].str.startswith("PNEUMONIA")
    assert (told["y_pneumonia"] == truth).all()
    assert set(told["patient"]) == {f"patient{number:03d}" for number in range(N // 2)}
    own = proof.scores[(proof.scores["split"] == "all") & (proof.scores["class"] == "pneumonia")]
    by_metric = own.set_index("metric")["value"]
    assert by_metric["auroc"] == pytest.approx(roc_auc_score(truth, told["p_pneumonia"]), abs=1e-6)
    decided = told["decision"] == "pneumonia"
    assert by_metric["recall"] == pytest.approx((decided & truth).sum() / truth.sum())
    assert by_metric["specificity"] == pytest.approx((~decided & ~truth).sum() / (~truth).sum())
    page = proof.report.read_text()
    assert "Proof report" in page
    assert proof.told["sentences"][0].split(".")[0] in page
    assert "PAST UNKNOWN" not in page


def test_a_broken_promise_of_a_bundle_that_does_not_say_what_it_has_seen(images: Path, tmp_path: Path) -> None:
    promised = promising(auroc=(0.995, 0.99, 0.999))
    broken = sr.prove(bundle_in(tmp_path / "b", metrics=promised, fitted_on=None), images, out=tmp_path / "p")
    assert broken.outcome == "does not hold"
    assert broken.claims["verdict"].tolist() == ["worse"]
    assert broken.told["past_known"] is False
    assert "PAST UNKNOWN" in broken.report.read_text()


def test_what_it_was_fitted_on_and_the_others_of_these_patients_are_left_out(images: Path, tmp_path: Path) -> None:
    files = sorted(images.rglob("*.png"), key=lambda path: int(path.stem.rpartition("_")[2]))
    seen = [sha256_of_bytes(path.read_bytes()) for path in files[::2]]  # one image of each patient
    some = sr.prove(bundle_in(tmp_path / "b", fitted_on=seen[:15]), images, out=tmp_path / "p")
    assert set(some.readings["row_id"]) == {path.relative_to(images).as_posix() for path in files[30:]}
    assert list(some.told["left_out"].values()) == [0, 15, 15]
    with pytest.raises(Leak, match="was fitted on all of these 160 images"):
        sr.prove(bundle_in(tmp_path / "c", fitted_on=seen), images, out=tmp_path / "p")


def test_a_study_file_says_how_to_read_them(images: Path, tmp_path: Path) -> None:
    metrics = [row | {"class": "other"} for row in promising(recall=(0.1, 0.05, 0.15))]
    bundle = bundle_in(tmp_path / "b", classes=["covid", "other"], metrics=metrics)
    with pytest.raises(BadData, match="none of its classes"):
        sr.prove(bundle, images, out=tmp_path / "p")
    called = {"covid": ["NORMAL"], "other": ["PNEUMONIA"]}
    assert sr.prove(bundle, images, out=tmp_path / "p", labels=called).claims["class"].tolist() == ["other"]
    (tmp_path / "here.yaml").write_text(
        f"study: here\ngather: {{source: {{name: class_folders, root: {images.name}}}, "
        "labels: {covid: NORMAL, other: PNEUMONIA}}\n"
    )
    kept = sr.prove(bundle, tmp_path / "here.yaml", out=tmp_path / "p", data=images.parent)
    assert set(kept.readings.columns) >= {"y_covid", "y_other"}
    assert kept.outcome == "holds"
    assert "2 further figures could not be judged" in kept.told["sentences"][0]


def test_a_killed_proof_goes_on_where_it_was(
    images: Path, proof: Proof, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readings_module, "STRETCH", 50)
    read = readings_module._read
    calls: list[int] = []

    def dies_at_the_third(*given: Any) -> pd.DataFrame:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return read(*given)

    monkeypatch.setattr(readings_module, "_read", dies_at_the_third)
    bundle = bundle_in(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        sr.prove(bundle, images, out=tmp_path / "p")
    again = sr.prove(bundle, images, out=tmp_path / "p")
    assert len(calls) == 5  # two before the kill, the one that died, the two that were left
    pd.testing.assert_frame_equal(again.readings, proof.readings)
    sr.prove(bundle, images, out=tmp_path / "p", margin=0.1)
    assert len(calls) == 5  # another margin reads nothing again
    assert len(list((again.folder / "stretches").iterdir())) == 1


def test_folders_that_will_not_do_are_refused(images: Path, tmp_path: Path) -> None:
    bundle = bundle_in(tmp_path / "b")
    with pytest.raises(WrongRequest, match="lies inside the images"):
        sr.prove(bundle, images, out=images / "proof")
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "study.yaml").write_text("study: other\n")
    with pytest.raises(WrongRequest, match="holds a study"):
        sr.prove(bundle, images, out=tmp_path / "study")
    with pytest.raises(BadData, match="does not exist"):
        sr.prove(bundle, tmp_path / "nothing", out=tmp_path / "p")
    with pytest.raises(WrongRequest, match="not between 0 and 1"):
        sr.prove(bundle, images, out=tmp_path / "p", margin=1.5)


def test_of_many_labels_what_nobody_said_is_not_judged(tmp_path: Path) -> None:
    names = ["Atelectasis", "Edema", "Effusion"]
    (tmp_path / "set").mkdir()
    for at, image in enumerate(discs(1, 32, 60, seed=2)[:, 0]):
        Image.fromarray(image).save(tmp_path / "set" / f"{at}.png")
    truth = pd.DataFrame({"path": [f"{at}.png" for at in range(60)], "patient": [str(at) for at in range(60)]})
    for at, name in enumerate(names[:2]):
        truth[name] = [(number >> at) & 1 for number in range(60)]
    truth.to_csv(tmp_path / "set" / "labels.csv", index=False)
    metrics = [row | {"class": name} for name in names for row in promising(auroc=(0.5, 0.4, 0.6))]
    bundle = tiny_bundle(tmp_path / "b", task="multilabel", classes=names, metrics=metrics, fitted_on=[])
    proof = sr.prove(bundle, tmp_path / "set", out=tmp_path / "p")
    assert proof.claims["class"].tolist() == names
    assert proof.claims["verdict"].tolist()[2] == "too few cases"  # nobody said anything of effusions
    assert proof.readings["y_Effusion"].isna().all()


def test_a_mean_over_the_classes_is_not_judged_where_one_of_them_is_missing(tmp_path: Path) -> None:
    """Normal against covid is another question than all three, and may well be the easier one."""
    names, drawn = ["normal", "covid-19", "pneumonia"], np.random.default_rng(0)
    metrics = [row | {"class": "macro"} for row in promising(auroc=(0.9, 0.89, 0.91))]
    card = opened(tmp_path / "b", task="multiclass", classes=names, metrics=metrics, fitted_on=[]).card
    for there, verdict in (([0, 1, 2], "better"), ([0, 1], "too few cases")):
        truth = np.eye(3)[np.repeat(there, 40)]
        some = cases(truth, truth + 0.1 * drawn.random(truth.shape), task="multiclass", classes=names)
        draws = resampling(None, truth, replicates=50)
        told = claims_of(card, scores_with_intervals(some, draws, ["auroc"]), some, draws, 0.05)
        assert [one.verdict for one in told] == [verdict]


def test_a_promise_at_another_confidence_is_held_against_at_ours(tmp_path: Path) -> None:
    """An interval of 60 % is not half as wide as one of 95 %."""
    truth = np.eye(2)[np.repeat([0, 1], 40)]
    some = cases(truth, truth * 0.2 + 0.4 + 0.3 * np.random.default_rng(0).random((80, 2)), task="binary")
    draws = resampling(None, truth, replicates=50)
    scores = scores_with_intervals(some, draws, ["auroc"])
    wide = []
    for folder, said in (("old", {}), ("same", {"confidence": 0.95}), ("less", {"confidence": 0.6})):
        metrics = [row | {"class": "1"} | said for row in promising(auroc=(0.8, 0.75, 0.85))]
        card = opened(tmp_path / folder, classes=["0", "1"], metrics=metrics, fitted_on=[]).card
        (told,) = claims_of(card, scores, some, draws, 0.05)
        wide.append((told.promised[2] - told.promised[1], told.difference[2] - told.difference[1]))
    assert wide[0] == wide[1] == (pytest.approx(0.1), wide[0][1])  # a card that does not say: as all did
    assert wide[2][0] == pytest.approx(0.1 * 1.959964 / 0.841621)
    assert wide[2][1] > wide[0][1]


def claim(low: float, high: float, patients: int = 100, margin: float = 0.05) -> Claim:
    middle = (low + high) / 2
    return Claim("auroc", "x", (0.9, 0.89, 0.91), (0.9 + middle, 0.88 + middle, 0.92 + middle), (middle, low, high),
                 patients, margin)  # fmt: skip


@pytest.mark.parametrize(
    ("claims", "outcome"),
    [
        ([], "nothing was promised"),
        ([claim(-0.04, 0.02)], "holds"),
        ([claim(-0.04, -0.01)], "holds"),  # lower, by less than the margin
        ([claim(-0.2, -0.01)], "does not hold"),
        ([claim(-0.2, 0.01)], "not shown"),
        ([claim(-0.04, 0.02), claim(-0.2, 0.01)], "not shown"),
        ([claim(-0.2, 0.01), claim(-0.2, -0.1)], "does not hold"),
        ([claim(-0.04, 0.02), claim(-0.9, -0.8, patients=FEWEST - 1)], "holds"),
        ([claim(-0.9, -0.8, patients=FEWEST - 1)], "not shown"),
    ],
)
def test_of_all_claims_together(claims: list[Claim], outcome: str) -> None:
    assert outcome_of(claims) == outcome


def test_so_many_patients_would_show_it() -> None:
    one = claim(-0.06, 0.03, patients=100)
    needed = one.patients_needed
    assert needed is not None
    near = 0.02 * (100 / needed) ** 0.5  # the lower limit here draws near with the root of the patients
    assert np.hypot(near, 0.01) == pytest.approx(0.05, abs=1e-3)
    assert replace(one, promised=(0.9, 0.8, 0.96)).patients_needed is None


def test_the_folder_of_the_data_is_asked_for_by_study_files_alone(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECONDREAD_DATA", str(tmp_path / "away"))
    bundle = bundle_in(tmp_path / "b", fitted_on=[sha256_of_bytes(path.read_bytes()) for path in images.rglob("*.png")])
    with pytest.raises(Leak):  # as far as the images, whose folder was given
        sr.prove(bundle, images, out=tmp_path / "p")
    (tmp_path / "here.yaml").write_text("study: here\n")
    with pytest.raises(BadData, match=r"the data folder .* does not exist"):
        sr.prove(bundle, tmp_path / "here.yaml", out=tmp_path / "p")
