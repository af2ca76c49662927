"""Generated images as files with rows of their own: synthetic, of which generator, fitted on which fold."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from secondread.core.files import sha256_of_bytes, write_bytes
from secondread.core.studydir import StudyDir
from secondread.core.tables import CLEAN_COLUMNS, ROW_COLUMNS, SYNTHETIC_COLUMNS, write_table
from secondread.synthesize.targets import Target


def save_samples(
    images: NDArray[np.uint8], name: str, copy_of: list[str | None], target: Target, classes: list[str],
    folder: Path, where: StudyDir,
) -> pd.DataFrame:  # fmt: skip
    """Write images of class `name` as PNG and give their rows; `copy_of` names the training row an image repeats."""
    rows = []
    for number, image in enumerate(images):
        path = folder / "samples" / name.replace("/", "--") / f"{number:05d}.png"
        content = _png(image)
        write_bytes(path, content)
        relative = path.relative_to(where.root).as_posix()
        rows.append(
            {"row_id": relative, "path": relative, "content_id": sha256_of_bytes(content), "copy_of": copy_of[number]}
        )
    table = pd.DataFrame(rows).assign(
        index=-1, label=name, patient=None, site=None, split_given=None, sex=None, age=np.nan, view=None,
        group=f"synthetic/{target.gan.label}", duplicate_cluster=None, patient_known=False,
        generator=target.gan.label, target=target.name, repeat=target.repeat, fold=target.fold, seed=target.seed,
    )  # fmt: skip
    for known in classes:
        table[f"y_{known}"] = np.float32(known == name)
    return table


def write_samples(table: pd.DataFrame, path: Path) -> None:
    write_table(table, path, ROW_COLUMNS | CLEAN_COLUMNS | SYNTHETIC_COLUMNS)


def _png(image: NDArray[np.uint8]) -> bytes:
    written = io.BytesIO()
    Image.fromarray(image).save(written, "PNG", compress_level=4)
    return written.getvalue()
