"""Proofs that an operator enters: shown to everybody who reads with that model, and a warning where it did not hold."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from PIL import Image

from secondread.models.bundle import Bundle
from secondread.proving.making import prove
from secondread.serve.bundles.models import BundleProof, RegisteredBundle
from secondread.serve.bundles.register import register

NOTICE = "(80 images, "


def promising(metric: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {"split": "test", "class": "pneumonia", "metric": metric, "value": value, "low": low, "high": high, "n": 200,
            "method": "bootstrap"}  # fmt: skip


@pytest.fixture(scope="session")
def proven_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of random weights that promises much."""
    from serve_tiny_bundle import tiny_bundle

    metrics = [promising("auroc", 0.99, 0.98, 1.0), promising("specificity", 0.97, 0.95, 0.99)]
    return Path(tiny_bundle(tmp_path_factory.mktemp("proven") / "bundle", metrics=metrics, name="tiny/proud/cnn"))


@pytest.fixture(scope="session")
def proof_folder(proven_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `secondread prove` finds on noise: that it does not hold."""
    root = tmp_path_factory.mktemp("images")
    drawn = np.random.default_rng(0).integers(0, 256, (80, 40, 40), dtype=np.uint8)
    for at, image in enumerate(drawn):
        path = root / "ward" / ("normal", "pneumonia")[at % 2] / f"{at}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    proof = prove(Bundle.open(proven_path, threads=1), root / "ward", tmp_path_factory.mktemp("out"))
    assert proof.outcome == "does not hold", proof.told["sentences"]
    return proof.folder


@pytest.fixture
def proud(db: None, proven_path: Path) -> RegisteredBundle:
    return register([proven_path])[0]


def entered(*words: str) -> str:
    out = io.StringIO()
    call_command("proof", *words, stdout=out)
    return out.getvalue()


def test_a_proof_that_does_not_hold_warns_at_the_model_and_at_every_reading(
    proud: RegisteredBundle, proof_folder: Path, as_alice: Client, as_operator: Client, submit: Callable[..., Any]
) -> None:
    read = submit(as_alice, proud)
    assert NOTICE not in as_alice.get(f"/reads/{read.id}/").content.decode()
    assert entered(str(proof_folder)) == "tiny/proud/cnn on ward: does not hold\n"
    page = as_alice.get(f"/reads/{read.id}/").content.decode()
    assert "On ward (80 images, " in page
    said = r"did not do what it promises: AUROC 0\.\d{3} instead of 0\.990, specificity 0\.\d{3} instead of 0\.970\."
    assert re.search(said, page)
    page = as_alice.get(f"/models/{proud.sha256}/").content.decode()
    assert "Put to the proof on ward" in page
    assert "On ward (80 images, " in page
    for place in ("/models/", "/operate/watch"):
        assert "does not hold" in as_operator.get(place).content.decode()


def test_one_that_holds_is_shown_and_warns_nobody(
    proud: RegisteredBundle, proof_folder: Path, tmp_path: Path, as_alice: Client, submit: Callable[..., Any]
) -> None:
    told = json.loads((proof_folder / "proof.json").read_text()) | {"outcome": "holds"}
    (tmp_path / "proof.json").write_text(json.dumps(told))
    entered(str(tmp_path), "--name", "Ward 3, <b>adults</b>")
    page = as_alice.get(f"/models/{proud.sha256}/").content.decode()
    assert "Put to the proof on Ward 3, &lt;b&gt;adults&lt;/b&gt;" in page
    assert NOTICE not in page
    assert NOTICE not in as_alice.get(f"/reads/{submit(as_alice, proud).id}/").content.decode()


def test_entered_again_it_takes_the_place_of_the_one_of_its_name_and_can_be_removed(
    proud: RegisteredBundle, proof_folder: Path
) -> None:
    entered(str(proof_folder))
    entered(str(proof_folder))
    entered(str(proof_folder), "--name", "other")
    assert list(BundleProof.objects.values_list("name", flat=True)) == ["other", "ward"]
    assert entered("--remove", "ward") == "1 removed\n"
    assert list(BundleProof.objects.values_list("name", flat=True)) == ["other"]
    with pytest.raises(CommandError, match="no proof is called 'ward': other"):
        entered("--remove", "ward")


def test_the_path_of_the_images_is_not_kept(proud: RegisteredBundle, proof_folder: Path) -> None:
    entered(str(proof_folder))
    folder = json.loads((proof_folder / "proof.json").read_text())["data"]
    assert "/" in folder
    assert folder not in json.dumps(BundleProof.objects.get().told)


@pytest.mark.parametrize("change", [
    {"outcome": "perfect"}, {"sentences": []}, {"sentences": [1]}, {"images": "80"}, {"claims": [{}]}, {"claims": 3},
    {"made": {}}, {"bundle": {"name": "x"}}, {"bundle": None}, {"margin": "a"}, {"patients": True},
])  # fmt: skip
def test_what_is_no_proof_is_refused_in_a_line(
    change: dict[str, Any], proud: RegisteredBundle, proof_folder: Path, tmp_path: Path
) -> None:
    told = json.loads((proof_folder / "proof.json").read_text()) | change
    (tmp_path / "proof.json").write_text(json.dumps(told))
    with pytest.raises(CommandError, match="is not the proof of a bundle"):
        entered(str(tmp_path))
    assert not BundleProof.objects.exists()


def test_other_mistakes_are_told(proud: RegisteredBundle, proof_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="holds no proof"):
        entered(str(tmp_path))
    with pytest.raises(CommandError, match="name the folder of a proof, or --remove"):
        entered()
    (tmp_path / "proof.json").write_text("{")
    with pytest.raises(CommandError, match="is not readable"):
        entered(str(tmp_path))
    told = json.loads((proof_folder / "proof.json").read_text())
    (tmp_path / "proof.json").write_text(json.dumps(told | {"bundle": {"name": "a/b/c", "sha256": "0" * 64}}))
    with pytest.raises(CommandError, match="proves a/b/c, another bundle than those of this site"):
        entered(str(tmp_path))
