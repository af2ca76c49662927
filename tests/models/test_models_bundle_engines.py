"""The engines that run a bundle give one answer."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.tiny_bundle import tiny_bundle
from secondread.core.errors import Absent, WrongRequest
from secondread.core.processors import cores
from secondread.models.bundle import Bundle
from secondread.models.bundle.engines import ENGINES, Engine, session_of
from secondread.models.bundle.writing import reference_images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_answers_of_onnx_runtime(folder: Path, engine: Engine) -> None:
    images = reference_images(1, 32, 5)
    wanted = Bundle.open(folder, 1).run(images, heatmaps=True)
    found = Bundle.open(folder, 1, engine).run(images, heatmaps=True)
    for name in ("logits", "probabilities", "features", "heatmaps"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_serves_several_threads(folder: Path, engine: Engine) -> None:
    bundle = Bundle.open(folder, 1, engine)
    images = [reference_images(1, 32, 4)[[place]] for place in range(4)]
    alone = [bundle.run(image).logits for image in images]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(lambda turn: bundle.run(images[turn % 4]).logits, range(200)))
    for turn, logits in enumerate(together):
        np.testing.assert_allclose(logits, alone[turn % 4], atol=1e-5)


@pytest.mark.parametrize("threads", [0, -1, 40_000, 2**31, True, 2.5])
def test_threads_that_no_engine_can_start_are_a_wrong_request(folder: Path, threads: Any) -> None:
    with pytest.raises(WrongRequest, match=r"threads is .* it may be 1 to"):
        Bundle.open(folder, threads)


def test_a_machine_may_use_as_many_threads_as_it_has_cores(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secondread.core.processors.MOST_THREADS", 1)
    assert Bundle.open(folder, cores()).threads == Bundle.open(folder).threads == cores()


def test_an_engine_that_is_not_installed_is_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)  # as Python sees what is not installed
    with pytest.raises(Absent, match=r"secondread\[openvino\]"):
        Bundle.open(folder, 1, "openvino")


def test_an_unknown_engine_is_a_wrong_request(folder: Path) -> None:
    with pytest.raises(WrongRequest, match="onnxruntime, openvino"):
        Bundle.open(folder, 1, "abacus")  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_no_graph_is_refused_in_one_line(engine: Engine) -> None:
    with pytest.raises(WrongRequest, match=r"^model\.onnx cannot be run: [^\n]+$"):
        session_of(b"no graph", 1, engine)
