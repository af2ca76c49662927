"""Truncated, swapped, bit-flipped and foreign bundles are refused with a reason, never read with."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.tiny_bundle import refused, tiny_bundle, tiny_graph
from secondread.core.errors import WrongRequest
from secondread.core.files import sha256_of_bytes
from secondread.models.bundle import Bundle
from secondread.models.bundle.card import card_of
from secondread.models.bundle.container import LARGEST, write_zip
from secondread.models.bundle.wire import check_graph
from secondread.models.bundle.writing import write_bundle

NAMES = list(LARGEST)


def test_a_whole_bundle_opens_as_folder_and_as_zip(whole: Path, tmp_path: Path) -> None:
    write_zip(whole, tmp_path / "b.zip")
    assert Bundle.open(tmp_path / "b.zip", threads=1).sha256 == Bundle.open(whole, threads=1).sha256


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_truncated_files(bundle: Path, name: str, share: float) -> None:
    content = (bundle / name).read_bytes()
    (bundle / name).write_bytes(content[: int(len(content) * share)])
    assert refused(bundle)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", [0.02, 0.21, 0.47, 0.68, 0.93])
def test_one_bit_flipped(bundle: Path, name: str, place: float) -> None:
    content = bytearray((bundle / name).read_bytes())
    content[int(len(content) * place)] ^= 1 << int(place * 100) % 8
    (bundle / name).write_bytes(bytes(content))
    assert refused(bundle)


@pytest.mark.parametrize("name", NAMES)
def test_missing_files(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    assert name in refused(bundle)


@pytest.mark.parametrize("name", ["model.onnx", "reference.npz", "MODEL_CARD.md"])
def test_files_of_another_bundle(bundle: Path, tmp_path: Path, name: str) -> None:
    other = tiny_bundle(tmp_path / "other", seed=1, about="another")
    replaced = (other / name).read_bytes() + (b"x" if name == "MODEL_CARD.md" else b"")
    (bundle / name).write_bytes(replaced)
    assert "SHA-256" in refused(bundle)


def test_another_card(bundle: Path, tmp_path: Path) -> None:
    other = tiny_bundle(tmp_path / "other", seed=1)
    shutil.copy(other / "card.json", bundle / "card.json")
    assert "SHA-256" in refused(bundle)


def changed_card(bundle: Path, reseal: bool, **changes: Any) -> None:
    told = json.loads((bundle / "card.json").read_bytes()) | changes
    if reseal:
        from secondread.core.files import sha256_of_json

        told["sha256"] = sha256_of_json({key: value for key, value in told.items() if key != "sha256"})
    (bundle / "card.json").write_text(json.dumps(told))


@pytest.mark.parametrize(
    ("changes", "reseal", "reason"),
    [
        ({"thresholds": {"normal": 0.1, "pneumonia": 0.9}}, False, "changed after export"),
        ({"sha256": "0" * 64}, False, "changed after export"),
        ({"format": 2}, True, "format 2"),
        ({"format": "1"}, True, "format '1'"),
        ({"classes": ["pneumonia", "normal", "other"]}, True, "do not make|binary"),
        ({"classes": "normal"}, True, "classes"),
        ({"thresholds": {"normal": 0.5}}, True, "thresholds"),
        ({"thresholds": {"normal": 0.5, "pneumonia": "half"}}, True, "thresholds"),
        ({"uncertain": {"normal": [0.5], "pneumonia": [0.4, 0.6]}}, True, "uncertain"),
        ({"channels": 4}, True, "channels"),
        ({"channels": 3}, True, "takes"),
        ({"size": 64}, True, "takes"),
        ({"size": 10**9}, True, "size"),
        ({"fit": "squash"}, True, "fit"),
        ({"task": "regression"}, True, "task"),
        ({"files": {}}, True, "does not name"),
        ({"heatmaps": ""}, True, "gives"),
        ({"surprise": 1}, True, "surprise"),
        ({"tolerance": 1e9}, True, "tolerance"),
        ({"gate": {"kind": "oracle"}}, True, "gate"),
        (
            {"gate": {"kind": "mahalanobis", "threshold": -1.0, "quantile": 0.98, "fitted_on": 9, "checked_on": 9}},
            True,
            "positive distance",
        ),
    ],
)
def test_cards_that_do_not_fit(bundle: Path, changes: dict[str, Any], reseal: bool, reason: str) -> None:
    changed_card(bundle, reseal, **changes)
    assert any(part in refused(bundle) for part in reason.split("|"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"format": NaN}', b"\xff\xfe", b"[" * 100_000,
                                     b'{"format": 1, "format": 1}'])  # fmt: skip
def test_cards_that_are_none(content: bytes) -> None:
    with pytest.raises(WrongRequest):
        card_of(content)


def resealed(bundle: Path, model: bytes | None = None, reference: bytes | None = None) -> Path:
    """The bundle with another graph or reference under valid digests: as if a careful forger had made it."""
    card = card_of((bundle / "card.json").read_bytes())
    kept = {name: (bundle / name).read_bytes() for name in NAMES}
    write_bundle(bundle, card, model or kept["model.onnx"], reference or kept["reference.npz"], "# text\n")
    return bundle


def graph(change: Callable[[onnx.ModelProto], None], **options: Any) -> bytes:
    model = tiny_graph(2, **options)
    change(model)
    return bytes(model.SerializeToString())


def with_external_data(model: onnx.ModelProto) -> None:
    kernel = next(item for item in model.graph.initializer if item.name == "kernel")
    kernel.ClearField("raw_data")
    kernel.data_location = TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value="../../../etc/passwd")


def with_external_constant(model: onnx.ModelProto) -> None:
    hidden = TensorProto(name="c", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    hidden.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=hidden))


def with_custom_operator(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("evil.ops", 1))
    model.graph.node.append(helper.make_node("Shell", ["image"], ["unused"], domain="evil.ops"))


def with_function(model: onnx.ModelProto) -> None:
    body = [helper.make_node("Relu", ["x"], ["y"])]
    opsets = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "Double", ["x"], ["y"], body, opsets))


def with_subgraph(model: onnx.ModelProto) -> None:
    empty = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("If", ["image"], ["unused"], then_branch=empty, else_branch=empty))


def with_sparse_weights(model: onnx.ModelProto) -> None:
    values, places = numpy_helper.from_array(np.ones(1, np.float32)), numpy_helper.from_array(np.zeros(1, np.int64))
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [4]))


def with_second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, [1]))


def without_features(model: onnx.ModelProto) -> None:
    del model.graph.output[2]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_external_data, "other files"),
        (with_external_constant, "other files"),
        (with_custom_operator, "evil.ops"),
        (with_function, "functions"),
        (with_subgraph, "graphs inside"),
        (with_sparse_weights, "sparse"),
        (with_second_input, "takes"),
        (without_features, "gives"),
    ],
)
def test_graphs_that_reach_outside_or_are_of_another_kind(
    bundle: Path, change: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    assert reason in refused(resealed(bundle, graph(change)))


def test_graphs_of_other_shapes_or_weights(bundle: Path) -> None:
    assert "self-test" in refused(resealed(bundle, graph(lambda _: None, seed=5)))
    assert "takes" in refused(resealed(bundle, graph(lambda _: None, size=64)))
    assert "classes" in refused(resealed(bundle, bytes(tiny_graph(3).SerializeToString())))
    assert refused(resealed(bundle, b"not a graph"))
    assert refused(resealed(bundle, b"\x3a\x00"))


def npz(**arrays: Any) -> bytes:
    written = io.BytesIO()
    np.savez_compressed(written, **arrays)
    return written.getvalue()


def test_references_that_are_no_reference(bundle: Path) -> None:
    with np.load(bundle / "reference.npz") as stored:
        arrays = dict(stored)
    assert refused(resealed(bundle, reference=b"PK nothing"))
    assert "logits" in refused(resealed(bundle, reference=npz(**{k: v for k, v in arrays.items() if k != "logits"})))
    assert "gate" in refused(resealed(bundle, reference=npz(**{k: v for k, v in arrays.items() if "gate" not in k})))
    assert refused(resealed(bundle, reference=npz(**arrays | {"images": np.array([{}], dtype=object)})))
    assert "self-test" in refused(resealed(bundle, reference=npz(**arrays | {"logits": arrays["logits"] + 1})))
    empty = {k: v[:0] if k in ("images", "logits", "probabilities", "features") else v for k, v in arrays.items()}
    assert refused(resealed(bundle, reference=npz(**empty)))


@pytest.mark.parametrize(
    "changes",
    [
        {"logits": np.array([["a", "b"], ["c", "d"]])},
        {"gate_looks_centre": np.zeros(3, np.float32)},
        {"gate_features_directions": np.zeros((3, 2), np.float32)},
        {"gate_looks_scale": np.float32([np.nan])},
        {"gate_looks_reach": np.float32([0.0])},
        {"gate_looks_reach": np.array(["x"])},
    ],
)
def test_gates_that_would_fail_at_every_image_or_let_every_one_pass(bundle: Path, changes: dict[str, Any]) -> None:
    with np.load(bundle / "reference.npz") as stored:
        arrays = dict(stored)
    assert refused(resealed(bundle, reference=npz(**arrays | changes)))


def test_a_reference_that_unpacks_to_too_much(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.models.bundle.opened.LARGEST_REFERENCE", 100)
    assert "unpacks" in refused(bundle)


def test_the_wire_check_meets_no_byte_string_it_cannot_refuse() -> None:
    drawn, content = np.random.default_rng(0), tiny_graph(2).SerializeToString()
    check_graph(content)
    for _ in range(300):
        mutant = bytearray(content)
        for at in drawn.integers(0, len(mutant), 3):
            mutant[at] = drawn.integers(0, 256)
        try:
            check_graph(bytes(mutant[: drawn.integers(1, len(mutant) + 1)]))
        except WrongRequest:
            continue


def test_digests_are_those_of_the_files(whole: Path) -> None:
    card = Bundle.open(whole, threads=1).card
    assert {name: seal.sha256 for name, seal in card.files.items()} == {
        name: sha256_of_bytes((whole / name).read_bytes()) for name in NAMES if name != "card.json"
    }
    assert card.sha256 == card.digest()
