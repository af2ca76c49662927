"""An opened bundle: its graph checked against its card and ready to read images. The only reader of bundles."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import WrongRequest
from secondread.core.files import sha256_of_bytes
from secondread.core.processors import threads_of
from secondread.images.decode import (
    DECODER_VERSION,
    Decoded,
    DecodePolicy,
    PixelSpec,
    decode_for,
    read_bytes,
    to_model_input,
)
from secondread.models.bundle.card import BundleCard, card_of
from secondread.models.bundle.container import CARD, MODEL, REFERENCE, SEEN, files_of
from secondread.models.bundle.engines import Engine, session_of
from secondread.models.bundle.gate import GateStatistics, looks, statistics_from
from secondread.models.bundle.judge import Outputs, Reading, judge
from secondread.models.bundle.wire import check_graph

INPUT = "image"
OUTPUTS = ("logits", "probabilities", "features")
HEATMAPS = "heatmaps"
LARGEST_REFERENCE = 256 << 20


@dataclass(frozen=True)
class Bundle:
    """A model to read images with. Safe to use from several threads."""

    card: BundleCard
    gate: GateStatistics | None
    session: Any
    threads: int
    seen: NDArray[np.uint64] | None = None
    """Marks (`core.leakage.marks`), sorted, of every image it was fitted on; None where the bundle does not say."""

    @property
    def sha256(self) -> str:
        """Digest of the whole bundle, stamped on every reading."""
        return self.card.sha256

    @property
    def has_heatmaps(self) -> bool:
        return bool(self.card.heatmaps)

    @property
    def warnings(self) -> list[str]:
        """What a reader must be told besides the reading."""
        other = f"images are decoded by version {DECODER_VERSION}, the model was trained with {self.card.decoder}"
        return [*self.card.banners, *([other] if self.card.decoder != DECODER_VERSION else [])]

    @classmethod
    def open(cls, path: Path, threads: int | None = None, engine: Engine = "onnxruntime") -> Bundle:
        """Open a folder or zip; every digest, the graph and its answers to the reference images are checked.

        `threads`: of one run; all cores when not given. Raises `WrongRequest` with the reason for anything that is not
        a whole, unchanged bundle and for threads that no engine can start, `Absent` for one that is not installed.
        """
        threads = threads_of(threads)
        card, files = sealed_files(Path(path))
        check_graph(files[MODEL])
        arrays = _arrays_of(files.pop(REFERENCE))
        model = files.pop(MODEL)
        session = session_of(model, threads)
        _check_interface(card, session)
        if engine != "onnxruntime":
            session = session_of(model, threads, engine)
        gate = _gate_of(card, arrays)
        bundle = cls(card, gate, session, threads, _seen_of(arrays))
        _self_test(bundle, arrays)
        return bundle

    @property
    def pixels(self) -> PixelSpec:
        """What the model takes, for `images.decode`."""
        card = self.card
        return PixelSpec(card.size, card.fit, card.channels, card.intensity, card.crop_border)

    def decode(self, source: Path | bytes, policy: DecodePolicy | None = None) -> Decoded:
        """The image as training decoded it; raises `images.decode.Refusal`."""
        return decode_for(source, self.pixels, replace(policy or DecodePolicy(), frames=self.card.frames))

    def prepare(self, decoded: Decoded) -> NDArray[np.uint8]:
        """The model's input [C,H,W] from a decoded image, exactly as in training."""
        pixels = to_model_input(decoded, self.pixels)
        return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))

    def run(self, images_NCHW: NDArray[np.uint8], heatmaps: bool = False) -> Outputs:
        """The graph's outputs. Heatmaps are None where they are not asked for or the graph has none."""
        wanted = [*OUTPUTS, *([HEATMAPS] if heatmaps and self.has_heatmaps else [])]
        logits, probabilities, features, *heat = self.session.run(wanted, {INPUT: images_NCHW})
        return Outputs(logits, probabilities, features, heat[0] if heat else None, looks(images_NCHW))

    def judge(self, outputs: Outputs) -> list[Reading]:
        return judge(self.card, self.gate, outputs)

    def read(self, source: Path | bytes, heatmaps: bool = False, policy: DecodePolicy | None = None) -> Reading:
        """The whole road for one image; raises `images.decode.Refusal` when it cannot be decoded."""
        policy = policy or DecodePolicy()
        content = source if isinstance(source, bytes) else read_bytes(Path(source), policy)
        outputs = self.run(self.prepare(self.decode(content, policy))[None], heatmaps)
        return self.judge(outputs)[0].of(sha256_of_bytes(content))


def sealed_files(path: Path) -> tuple[BundleCard, dict[str, bytes]]:
    """The card and the files of the bundle at `path`, each the one it was written for; raises `WrongRequest`."""
    files = files_of(path)
    card = card_of(files[CARD])
    _check_seals(card, files)
    return card, files


def _check_seals(card: BundleCard, files: dict[str, bytes]) -> None:
    if set(card.files) != set(files) - {CARD}:
        raise WrongRequest("card.json does not name the files of this bundle")
    for name, seal in card.files.items():
        content = files[name]
        if len(content) != seal.bytes or sha256_of_bytes(content) != seal.sha256:
            raise WrongRequest(f"{name} is not the file that card.json was written for (its SHA-256 differs)")


def _arrays_of(content: bytes) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > LARGEST_REFERENCE:
                raise WrongRequest("reference.npz unpacks to more than a bundle may hold")
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise WrongRequest(f"reference.npz cannot be read: {error}") from error


def _check_interface(card: BundleCard, session: Any) -> None:
    inputs = [(item.name, item.type, item.shape[1:]) for item in session.get_inputs()]
    if inputs != [(INPUT, "tensor(uint8)", [card.channels, card.size, card.size])]:
        raise WrongRequest(f"model.onnx takes {inputs}, not one `{INPUT}` of the size on the card")
    outputs = {item.name: item for item in session.get_outputs()}
    wanted = {*OUTPUTS, *([HEATMAPS] if card.heatmaps else [])}
    if set(outputs) != wanted or any(item.type != "tensor(float)" for item in outputs.values()):
        raise WrongRequest(f"model.onnx gives {', '.join(outputs)}, not {', '.join(sorted(wanted))}")
    classes = len(card.classes)
    wide = [name for name in wanted - {"features"} if outputs[name].shape[1] != classes]
    if wide:
        raise WrongRequest(f"model.onnx gives {wide[0]} of another number of classes than the {classes} on the card")


def _gate_of(card: BundleCard, arrays: dict[str, NDArray[Any]]) -> GateStatistics | None:
    if card.gate is None:
        return None
    try:
        return statistics_from(arrays)
    except KeyError as error:
        raise WrongRequest(f"reference.npz has no {error} for the gate on the card") from error


def _seen_of(arrays: dict[str, NDArray[Any]]) -> NDArray[np.uint64] | None:
    seen = arrays.get(SEEN)
    if seen is not None and (seen.dtype != np.uint64 or seen.ndim != 1):
        raise WrongRequest("reference.npz does not say what the bundle was fitted on as a bundle does")
    return seen


def _self_test(bundle: Bundle, arrays: dict[str, NDArray[Any]]) -> None:
    """The reference images must give the answers they gave at export."""
    card = bundle.card
    images, *expected = _reference_of(arrays)
    try:
        outputs = bundle.run(images)
    except Exception as error:
        raise WrongRequest(f"model.onnx fails on its reference images: {str(error)[:200]}") from error
    found = (outputs.logits, outputs.probabilities, outputs.features)
    for name, new, old in zip(OUTPUTS, found, expected, strict=True):
        if not _agree(new, old, card.tolerance):
            raise WrongRequest(f"the self-test failed: {name} of the reference images are not those of the export")
    _check_gate(bundle, outputs)


def _reference_of(arrays: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    """Images, and the logits, probabilities and features that they gave."""
    try:
        images, *expected = (arrays[name] for name in ("images", *OUTPUTS))
    except KeyError as error:
        raise WrongRequest(f"reference.npz has no {error}") from error
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images):  # ONNX Runtime 1.23 dies of no images
        raise WrongRequest("reference.npz holds no images")
    return [images, *expected]


def _check_gate(bundle: Bundle, outputs: Outputs) -> None:
    """A gate that does not fit would fail at every image, one of NaN would let every image pass."""
    if bundle.gate is None or outputs.looks is None:
        return
    if bundle.gate.features.centre.shape != outputs.features.shape[1:]:
        raise WrongRequest("the gate in reference.npz is for another number of features")
    try:
        with np.errstate(all="ignore"):
            sane = bool(np.isfinite(bundle.gate.distance(outputs.features, outputs.looks)).all())
    except (ValueError, TypeError) as error:
        raise WrongRequest(f"the gate in reference.npz does not fit the model: {str(error)[:120]}") from error
    if not sane:
        raise WrongRequest("the gate in reference.npz gives distances that are no numbers")


def _agree(new: NDArray[Any], old: NDArray[Any], tolerance: float) -> bool:
    if old.dtype.kind != "f" or new.shape != old.shape or len(old) == 0 or not np.isfinite(new).all():
        return False
    return bool(np.abs(new - old).max() <= tolerance * (1.0 + np.ptp(old)))
