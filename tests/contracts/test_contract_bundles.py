"""Every registered model becomes a bundle that answers as its checkpoint does, heatmaps included."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.model_parity import CLASSES, exported, images_for, parity_of, point
from secondread.core.registry import parts
from secondread.core.spec import ref
from secondread.export.assemble import Engine
from secondread.export.parity import LARGEST_SHARE, LEAST_CORRELATION, Parity
from secondread.images.decode import DECODER_VERSION
from secondread.models.bundle import Bundle, BundleCard
from secondread.models.bundle.writing import reference_images, reference_npz, write_bundle

# dense layers of 4096 would only make the same test slow
MADE_SMALL = {name: {"dense": 48} for name in ("alexnet", "vgg16", "vgg19")} | {"coded_cnn": {"channels": 16}}
NAMED: dict[str, tuple[Any, ...]] = {
    name: ({"name": name, **MADE_SMALL.get(name, {})},) for name in parts("models") if not name.endswith("/*")
}
FOREIGN = {"timm/vit_tiny_patch16_224": ("timm/vit_tiny_patch16_224",), "timm/convnext_atto": ("timm/convnext_atto",)}
HEADS: dict[str, tuple[Any, ...]] = {
    "plain_cnn, hidden layer, labels": ({"name": "plain_cnn", "width": 8}, "multilabel", 24),
    "alexnet_improved, hidden layer, labels": ("alexnet_improved", "multilabel", 24),
}
NO_EXACT_MAP = {"timm/convnext_atto", "darkcovidnet"}
"""Between the CAM layer and the head stands a LayerNorm, or a convolution."""
EACH_BY_ITS_OWN: dict[str, tuple[Any, ...]] = {
    f"{name}, each image normalised by itself": (name, "multiclass", 0, "image") for name in ("resnet18", "plain_cnn")
}
CASES = NAMED | FOREIGN | HEADS | EACH_BY_ITS_OWN
SLOWEST_FIRST = ("densenet121", "efficientnet_b0", "googlenet", "resnet50v2", "resnet50")


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Future[tuple[Parity, str]]]]:
    """Every case, two at a time: tracing takes one core each."""
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        order = [*SLOWEST_FIRST, *(name for name in CASES if name not in SLOWEST_FIRST)]
        yield {name: pool.submit(parity_of, *CASES[name]) for name in order}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("name", CASES)
def test_bundles_answer_as_their_checkpoints(name: str, measured: dict[str, Future[tuple[Parity, str]]]) -> None:
    found, no_heatmaps = measured[name].result()
    assert bool(no_heatmaps) == (name in NO_EXACT_MAP), no_heatmaps
    assert found.logit_spread > 1
    assert found.share_of_spread <= LARGEST_SHARE
    assert found.flips == 0
    assert found.max_abs_dprobability <= 1e-3
    assert (found.heat_correlation is None) == (name in NO_EXACT_MAP)
    assert found.heat_correlation is None or found.heat_correlation >= LEAST_CORRELATION
    found.check()


def test_a_bundle_of_a_network_opens_and_reads(tmp_path: Path) -> None:
    """The whole file, from a real network: any number of images, no paths or names of the exporting machine."""
    classifier, _, content = exported(ref("plain_cnn", width=8))
    size, at = classifier.backbone.spec.size, point("multiclass")
    references = reference_images(1, size)
    reference = reference_npz(references, Engine(content, True, 1).run(references), None)
    card = BundleCard(
        "s/a/plain_cnn", "s", "a", "plain_cnn", "multiclass", list(CLASSES), 1, size, "stretch", "full_range", 0.0,
        dict(zip(CLASSES, at.thresholds, strict=True)), {name: [0.0, 0.0] for name in CLASSES},
        decoder=DECODER_VERSION, heatmaps="Grad-CAM", no_gate="a test",
    )  # fmt: skip
    write_bundle(tmp_path, card, content, reference, "# plain_cnn\n")
    bundle = Bundle.open(tmp_path, threads=1)
    images = images_for(size)
    whole = bundle.run(images, heatmaps=True)
    for at_once in (1, 7):
        part = bundle.run(images[:at_once], heatmaps=True)
        np.testing.assert_allclose(part.logits, whole.logits[:at_once], atol=1e-4)
        assert part.heatmaps is not None
        assert whole.heatmaps is not None
        np.testing.assert_allclose(part.heatmaps, whole.heatmaps[:at_once], atol=1e-4)
    for word in (b"secondread/", b".py", str(Path.home()).encode()):
        assert word not in content
