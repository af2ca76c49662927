from __future__ import annotations

import threading
from collections.abc import Iterator
from http.client import IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from secondread.core.errors import Absent, BadData, WrongRequest
from secondread.core.files import read_json, sha256_of_bytes, sha256_of_file, write_json
from secondread.core.leakage import write_contents
from secondread.core.spec import Head, PartRef, ref
from secondread.models.build import build_classifier, load_trial, save_weights
from secondread.models.card import TrialCard, card_of
from secondread.models.classifier import Classifier
from secondread.models.published import _checked, download
from secondread.models.spec import ModelSpec
from secondread.models.weights import find_trial, statistics_of

SIZE = 64


def build(
    name: str, weights: str = "none", classes: int = 2, beside: Path | None = None, **options: object
) -> Classifier:
    part = ref(name, **options)
    return build_classifier(
        part, ModelSpec(classes, 1, SIZE), mean=[0.5], std=[0.5], weights=weights, seed=0, beside=beside
    )


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SECONDREAD_OFFLINE", "1")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch_home"))
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A study with one trial of a plain CNN that was fitted on two images."""
    return write_trial(tmp_path / "runs" / "first", ref("plain_cnn"), classes=("no", "yes"))


def write_trial(study: Path, model: PartRef, classes: tuple[str, ...], channels: int = 1, run: str = "r0f0s0") -> Path:
    folder = study / "train" / "plain" / model.label / run
    spec = ModelSpec(len(classes), channels, SIZE, "binary")
    classifier = build_classifier(model, spec, mean=[0.3], std=[0.2], seed=7)
    card = TrialCard(
        study=study.name, arm="plain", model=model.label, repeat=0, fold=0, seed=0, part=model.name,
        options=model.options, classes=classes, task="binary", channels=channels, size=SIZE, fit="stretch",
        intensity="full_range", crop_border=0.0, mean=(0.3,), std=(0.2,), head=Head(), training_prior=(0.5, 0.5),
        natural_prior=(0.5, 0.5), best_epoch=1, steps=3, seconds=1.0, contents="",
    )  # fmt: skip
    folder.mkdir(parents=True)
    card.write(folder / "card.json")
    save_weights(classifier, folder / "best.safetensors")
    write_contents(folder / "contents.json", ["aa", "bb"])
    write_json(folder / "done.json", {})
    return folder


# files


def test_a_file_of_more_classes_gives_its_trunk_and_says_that_the_head_is_fresh(tmp_path: Path) -> None:
    net = torchvision.models.resnet18(weights=None, num_classes=5)
    torch.save({"state_dict": {f"module.{k}": v for k, v in net.state_dict().items()}}, tmp_path / "w.pth")
    built = build("resnet18", str(tmp_path / "w.pth"))
    assert built.origin.notes == ("the head starts fresh: the file's has 5 outputs, this one 2",)
    assert built.origin.text == str(tmp_path / "w.pth")
    assert built.origin.content_ids() == set()
    assert torch.equal(built.backbone.net.conv1.weight, net.conv1.weight)


def test_our_own_file_is_loaded_whole(tmp_path: Path) -> None:
    first = build_classifier(ref("plain_cnn"), ModelSpec(2, 1, SIZE), mean=[0.5], std=[0.5], seed=11).eval()
    save_weights(first, tmp_path / "own.safetensors")
    again = build("plain_cnn", str(tmp_path / "own.safetensors")).eval()
    grey = torch.arange(SIZE * SIZE).reshape(1, 1, SIZE, SIZE).remainder(251).to(torch.uint8)
    assert again.origin.notes == ()
    assert torch.equal(again(grey), first(grey))


@pytest.mark.parametrize(
    ("file_of", "asked", "told"),
    [
        ("resnet34", "resnet18", "not those of resnet18.*of no use"),
        ("resnet18", "resnet34", "not those of resnet34.*missing"),
        ("resnet18", "plain_cnn", "not those of plain_cnn.*missing"),
        ("resnet18", "timm/regnety_002", "do not fit timm/regnety_002"),
    ],
)
def test_weights_of_another_architecture_are_refused(tmp_path: Path, file_of: str, asked: str, told: str) -> None:
    net = torchvision.models.get_model(file_of, weights=None, num_classes=2)
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    with pytest.raises(WrongRequest, match=told):
        build(asked, str(tmp_path / "w.safetensors"))


def test_weights_of_another_width_are_refused_by_the_first_tensor_that_does_not_fit(tmp_path: Path) -> None:
    save_weights(build("plain_cnn", width=16), tmp_path / "w.safetensors")
    with pytest.raises(WrongRequest, match=r"blocks\.0\.0\.bias is \[16\], here \[32\]"):
        build("plain_cnn", str(tmp_path / "w.safetensors"))


def test_a_pickle_with_code_is_not_opened(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")
    with pytest.raises(WrongRequest, match=r"model\.pth holds more than tensors"):
        build("plain_cnn", str(tmp_path / "model.pth"))


@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not weights")
    with pytest.raises(WrongRequest, match=name):
        build("plain_cnn", str(tmp_path / name))


def test_a_file_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"epoch": 3}, tmp_path / "w.pth")
    with pytest.raises(WrongRequest, match="no named tensors"):
        build("plain_cnn", str(tmp_path / "w.pth"))


def test_a_missing_file_tells_what_is_valid() -> None:
    with pytest.raises(Absent, match=r"imagnet.*Valid: none, imagenet"):
        build("plain_cnn", "imagnet")


def test_the_contents_beside_a_file_are_carried_along(trained: Path) -> None:
    assert build("plain_cnn", str(trained / "best.safetensors")).origin.content_ids() == {"aa", "bb"}


# published


@pytest.mark.parametrize(
    ("name", "file"), [("resnet18", "resnet18-f37072fd.pth"), ("resnet50v2", "resnetv2_50.a1h_in1k.safetensors")]
)
def test_published_weights_offline_name_the_file_the_place_and_the_alternatives(name: str, file: str) -> None:
    with pytest.raises(Absent, match=rf"{file}.*\$SECONDREAD_WEIGHTS.*weights: PATH.*trial:STUDY/ARM/MODEL"):
        build(name, "imagenet")


def test_published_weights_are_found_in_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = timm.create_model("resnetv2_50", pretrained=False, num_classes=1000)
    save_file(net.state_dict(), tmp_path / "resnetv2_50.a1h_in1k.safetensors")
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))
    built = build("resnet50v2", "imagenet")
    assert built.origin.text == "timm:resnetv2_50.a1h_in1k"
    assert built.origin.notes == ("the head starts fresh: the file's has 1000 outputs, this one 2",)
    assert torch.equal(built.backbone.net.stem.conv.weight, net.stem.conv.weight)
    by_name = build("timm/resnetv2_50.a1h_in1k", "imagenet")
    assert torch.equal(by_name.backbone.net.stem.conv.weight, net.stem.conv.weight)


def test_a_download_that_was_cut_short_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resnet18-f37072fd.pth").write_bytes(b"half a file")
    monkeypatch.setenv("SECONDREAD_WEIGHTS", str(tmp_path))
    with pytest.raises(WrongRequest, match=r"resnet18-f37072fd\.pth is damaged"):
        build("resnet18", "imagenet")
    whole = tmp_path / "plain.pth"
    whole.write_bytes(b"a whole file")
    assert _checked(whole.rename(tmp_path / f"net-{sha256_of_file(whole)[:8]}.pth")).exists()


class Publisher(BaseHTTPRequestHandler):
    """Gives `/whole` bytes, `/cut` fewer than it announces, `/chunked` an end in the middle of a chunk."""

    protocol_version = "HTTP/1.1"
    content = b"the weights" * 1000

    def do_GET(self) -> None:
        self.send_response(200)
        kind = ("Transfer-Encoding", "chunked") if self.path == "/chunked" else ("Content-Length", "11000")
        self.send_header(*kind)
        self.end_headers()
        head = b"2af8\r\n" if self.path == "/chunked" else b""
        self.wfile.write(head + (self.content if self.path == "/whole" else self.content[:4000]))
        self.close_connection = True

    def log_message(self, *told: object) -> None:
        """Nothing on the terminal of the tests."""


@pytest.fixture
def publisher(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Publisher) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_download_that_is_cut_off_leaves_nothing_and_the_next_one_is_whole(tmp_path: Path, publisher: str) -> None:
    place = tmp_path / "net.pth"
    with pytest.raises(BadData, match=r"net\.pth: .*ended after 4,000 of 11,000 bytes"):
        download(f"{publisher}/cut", place)
    with pytest.raises(IncompleteRead):
        download(f"{publisher}/chunked", place)
    assert list(tmp_path.iterdir()) == []
    download(f"{publisher}/whole", place)
    assert place.read_bytes() == Publisher.content


def test_a_download_of_another_file_is_not_kept(tmp_path: Path, publisher: str) -> None:
    with pytest.raises(BadData, match="its SHA-256 is another"):
        download(f"{publisher}/whole", tmp_path / "net-01234567.pth")
    assert list(tmp_path.iterdir()) == []
    digest = sha256_of_bytes(Publisher.content)[:8]
    download(f"{publisher}/whole", tmp_path / f"net-{digest}.pth")
    assert (tmp_path / f"net-{digest}.pth").exists()


def test_a_network_without_published_weights_says_so() -> None:
    with pytest.raises(WrongRequest, match="there are none for plain_cnn"):
        build("plain_cnn", "imagenet")


def test_pretrained_networks_are_fed_as_in_training(trained: Path) -> None:
    assert statistics_of(ref("resnet18"), "imagenet") == (card_of("resnet18").mean, card_of("resnet18").std)
    assert statistics_of(ref("googlenet"), "imagenet") == ((0.5,) * 3, (0.5,) * 3)
    assert statistics_of(ref("resnet18"), "none") is None
    study = trained.parents[3]
    assert statistics_of(ref("plain_cnn"), f"trial:{study}/plain/plain_cnn") == ((0.3,), (0.2,))
    with pytest.raises(WrongRequest, match=r"normalise: dataset; set train\.normalise"):
        statistics_of(ref("plain_cnn"), f"trial:{study}/plain/plain_cnn", normalise="image")


def test_a_card_written_before_images_were_normalised_by_themselves_still_loads(trained: Path) -> None:
    told = read_json(trained / "card.json")
    del told["normalise"]
    write_json(trained / "card.json", told)
    classifier, card = load_trial(trained)
    assert card.normalise == "dataset"
    assert not classifier.each_by_its_own


# trials


@pytest.mark.parametrize("how", ["folder", "beside", "with its run"])
def test_a_trial_gives_its_trunk_and_its_contents(trained: Path, how: str) -> None:
    study = trained.parents[3]
    written = {"folder": f"{study}/plain/plain_cnn", "beside": "first/plain/plain_cnn"}
    weights = "trial:" + written.get(how, f"{study}/plain/plain_cnn/r0f0s0")
    built = build("plain_cnn", weights, beside=study.parent / "second")
    first, _ = load_trial(trained)
    assert built.origin.text == "trial:first/plain/plain_cnn/r0f0s0"
    assert built.origin.content_ids() == {"aa", "bb"}
    assert built.origin.notes == ("the head starts fresh",)
    assert torch.equal(built.backbone.blocks[3][0].weight, first.backbone.blocks[3][0].weight)
    assert not torch.equal(built.backbone.dense.output.weight, first.backbone.dense.output.weight)


def test_a_trial_of_grey_images_serves_colour_ones(trained: Path) -> None:
    weights = f"trial:{trained.parents[3]}/plain/plain_cnn"
    built = build_classifier(ref("plain_cnn"), ModelSpec(2, 3, SIZE), mean=[0.5], std=[0.5], weights=weights, seed=0)
    assert "grey filters shared over three colours" in built.origin.notes[-1]
    first, _ = load_trial(trained)
    built.mean, built.std = first.mean, first.std
    grey = torch.arange(SIZE * SIZE).reshape(1, 1, SIZE, SIZE).remainder(256).to(torch.uint8)
    with torch.no_grad():
        torch.testing.assert_close(built.eval().features(grey.repeat(1, 3, 1, 1)), first.features(grey))


def test_the_first_finished_run_is_taken(tmp_path: Path) -> None:
    later = write_trial(tmp_path / "s", ref("plain_cnn"), ("a", "b"), run="r0f1s0")
    assert find_trial(f"trial:{tmp_path}/s/plain/plain_cnn") == later
    again = write_trial(tmp_path / "s", ref("plain_cnn"), ("a", "b"), run="r0f0s0")
    (again / "done.json").unlink()  # being trained anew: its card may still be that of other weights
    assert find_trial(f"trial:{tmp_path}/s/plain/plain_cnn") == later


def test_a_trial_of_another_model_is_refused(tmp_path: Path) -> None:
    write_trial(tmp_path / "s", PartRef.model_validate({"name": "plain_cnn", "as": "net"}), ("a", "b"))
    with pytest.raises(WrongRequest, match="is a trained plain_cnn, not a resnet18"):
        build("resnet18", f"trial:{tmp_path}/s/plain/net")


def test_a_trial_that_is_not_there_tells_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=r"nowhere/train/plain/plain_cnn.*Run that study first"):
        build("plain_cnn", "trial:nowhere/plain/plain_cnn", beside=tmp_path / "mine")


@pytest.mark.parametrize("weights", ["trial:", "trial:study", "trial:study/arm", "trial:study//model"])
def test_a_malformed_trial_is_refused(weights: str) -> None:
    with pytest.raises(WrongRequest, match="trial:STUDY/ARM/MODEL"):
        build("plain_cnn", weights)


def test_a_trial_without_its_contents_is_refused(trained: Path) -> None:
    (trained / "contents.json").unlink()
    with pytest.raises(Absent, match=r"contents\.json"):
        build("plain_cnn", f"trial:{trained.parents[3]}/plain/plain_cnn")


# a trial's folder


def test_a_trial_with_weights_of_another_network_is_refused(trained: Path) -> None:
    save_weights(build("plain_cnn", width=8), trained / "best.safetensors")
    with pytest.raises(BadData, match=r"best\.safetensors cannot be loaded into plain_cnn"):
        load_trial(trained)


def test_a_trial_without_a_card_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match=r"card\.json"):
        load_trial(tmp_path)


def test_a_card_with_unknown_or_missing_facts_is_refused(trained: Path) -> None:
    told = TrialCard.read(trained / "card.json").to_json()
    with pytest.raises(BadData, match="colour"):
        TrialCard.from_json(told | {"colour": "red"})
    del told["size"]
    with pytest.raises(BadData, match="size"):
        TrialCard.from_json(told)
