"""Validation images of a study of any size are taken a few at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.tiny_bundle import tiny_graph
from secondread.core.tables import Dataset
from secondread.export.assemble import RUN_BATCH, Engine
from secondread.export.material import Material
from secondread.images.cache import PixelCache


def test_all_validation_images_are_run_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 3 * RUN_BATCH + 1
    np.save(tmp_path / "pixels.npy", np.random.default_rng(0).integers(0, 256, (count, 16, 16), dtype=np.uint8))
    ids = [f"{k}.png" for k in range(count)]
    dataset = Dataset("binary", ["a", "b"], "", "table", "", {}, [])
    material = Material(dataset, PixelCache(tmp_path / "pixels.npy", ids, {}), ids[::-1], np.zeros((count, 2)), [], [])
    engine = Engine(tiny_graph(2, "binary", 1, 16, False, 0).SerializeToString(), False, 1)
    whole = engine.run(material.images(material.val_ids))
    taken, take = [], PixelCache.take
    monkeypatch.setattr(PixelCache, "take", lambda cache, rows: (taken.append(len(rows)), take(cache, rows))[1])
    np.testing.assert_array_equal(engine.run(material.whole_validation).logits, whole.logits)
    assert (sum(taken), max(taken)) == (count, RUN_BATCH)
