"""Where the findings really are: masks of a phantom, or of the user, in the model's view of the image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from secondread.core.errors import BadData
from secondread.core.tables import Dataset
from secondread.images.cache import PixelCache
from secondread.images.decode import resize_to
from secondread.images.decode_types import Fit

MARKER = "marker"
"""The phantom's burnt-in token: no finding, but a shortcut that a map should not rest on."""
PHANTOM_MASKS = "phantom_masks"


@dataclass(frozen=True)
class Masks:
    """Masks under `folder`: `<image without its ending>.png` for all findings, or a folder of that name with one
    PNG for each finding or class."""

    folder: Path
    dataset: Dataset
    size: int
    fit: Fit
    crop_border: float

    def of(self, row_id: str, label: str) -> NDArray[np.bool_] | None:
        """[S,S] where the label shows in this image; None where that is not known or nowhere.

        A mask named as the label; of exclusive classes else all masks of the image together, but for the negative one
        of two.
        """
        named = self.named(row_id)
        named.pop(MARKER, None)
        if label in named:
            wanted = [named[label]]
        elif self.dataset.task == "multilabel":
            wanted = [named[""]] if "" in named else []
        else:
            negative = self.dataset.task == "binary" and label == self.dataset.classes[0]
            wanted = [] if negative and "" not in named else list(named.values())
        return self._read(wanted)

    def marker(self, row_id: str) -> NDArray[np.bool_] | None:
        named = self.named(row_id)
        return self._read([named[MARKER]]) if MARKER in named else None

    def named(self, row_id: str) -> dict[str, Path]:
        """The masks of an image by name; `""`: one for the image as a whole."""
        stem = self.folder / PurePosixPath(row_id.partition("#")[0]).with_suffix("")
        found = {path.stem: path for path in sorted(stem.glob("*.png"))} if stem.is_dir() else {}
        whole = stem.with_name(stem.name + ".png")
        return found | ({"": whole} if whole.is_file() else {})

    def _read(self, paths: list[Path]) -> NDArray[np.bool_] | None:
        mask = np.zeros((self.size, self.size), bool)
        for path in paths:
            try:
                with Image.open(path) as opened:
                    pixels = np.asarray(opened.convert("L"), dtype=np.uint8)
            except (OSError, ValueError, Image.DecompressionBombError) as error:
                raise BadData(f"explain: the mask {path} cannot be read: {error}") from error
            shown = np.where(pixels > 0, 255, 0).astype(np.uint8)
            mask |= resize_to(shown, self.size, self.fit, self.crop_border) > 127
        return mask if mask.any() else None


def named_folder(data: Path | None, wanted: str) -> Path:
    """The folder of `explain.masks`; raises `BadData` when it does not exist."""
    folder = Path(wanted) if Path(wanted).is_absolute() or data is None else data / wanted
    if not folder.is_dir():
        raise BadData(f"explain.masks: {folder} is not a folder")
    return folder


def find_masks(dataset: Dataset, data: Path | None, wanted: str | None, cache: PixelCache) -> Masks | None:
    """The masks that the study names (`explain.masks`), or those beside a phantom; None when there are none.

    Raises `BadData` when the named folder does not exist.
    """
    told = cache.settings
    size, fit, crop = int(told["size"]), told["fit"], float(told["crop_border"])
    if wanted is not None:
        folder = named_folder(data, wanted)
        return Masks(folder, dataset, size, fit, crop)
    root = Path(dataset.root)
    folder = root.with_name(root.name + "_truth") / PHANTOM_MASKS
    return Masks(folder, dataset, size, fit, crop) if folder.is_dir() else None
