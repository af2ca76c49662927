"""Every registered source and split answers as the pipeline expects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from secondread.core.errors import SecondreadError
from secondread.core.registry import find, parts, resolve
from secondread.core.spec import Gather, ref
from secondread.gather.found import Found
from secondread.images.phantom import PhantomSpec, write_phantom

FORMATS = {"class_folders": "folder", "table": "folder", "chexpert": "chexpert", "nih": "nih", "npz": "npz",
           "dicom": "dicom", "phantom": "", "auto": "folder"}  # fmt: skip
SPLITS = {"grouped": {}, "kfold": {"folds": 3}, "official": {"crossing": "drop"}, "image_level": {},
          "families": {"folds": 2, "family": "(.)$"}}  # fmt: skip


@pytest.mark.parametrize("name", list(parts("sources")))
def test_a_source_gives_rows_with_a_class_for_each(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    preset = "cxr-multilabel" if name in ("table", "chexpert", "nih") else "cxr-binary"
    if FORMATS[name]:
        write_phantom(PhantomSpec(preset, n=14, size=28), folder, FORMATS[name], workers=1)
    options = {} if FORMATS[name] else {"n": 14, "size": 28}
    found: Found = resolve("sources", ref(name, **options))(folder, Gather())
    assert len(found.rows) == 14
    assert found.rows["row_id"].is_unique
    assert {"row_id", "path", "index", "label"} <= set(found.rows.columns)
    assert found.values.shape == (14, len(found.classes))
    assert found.values.dtype == np.float32
    if found.exclusive:
        assert (found.values.sum(axis=1) == 1).all()
    assert all((found.root / path).exists() for path in found.rows["path"])
    assert find("sources", name).summary.endswith(".")


@pytest.mark.parametrize("name", [name for name in parts("sources") if FORMATS[name]])
def test_a_source_says_when_there_is_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(SecondreadError) as error:
        resolve("sources", ref(name))(tmp_path, Gather())
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", list(parts("splits")))
def test_a_split_gives_every_row_one_side_per_fold(name: str) -> None:
    draw = np.random.default_rng(0)
    rows = pd.DataFrame({"row_id": [f"r{k}" for k in range(90)], "group": [f"g{k // 2}" for k in range(90)]})
    rows["split_given"] = np.where(np.arange(90) < 60, "train", "test")
    labels = np.eye(3, dtype=np.float32)[draw.integers(0, 3, 90)]
    made = resolve("splits", ref(name, **SPLITS[name]))(rows, labels, 0)
    assert list(made.columns) == ["repeat", "fold", "row_id", "split"]
    assert not made.duplicated(["repeat", "fold", "row_id"]).any()
    for _, part in made.groupby(["repeat", "fold"]):
        assert set(part["split"]) == {"train", "val", "test"}
    assert find("splits", name).summary.endswith(".")
