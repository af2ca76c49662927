"""Small pictures of all images, in mapped files: only those asked for are read, however many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from secondread.prepare.seen import SIDE


class SmallPictures:
    """Stands for an array uint8 [N, 128, 128]: `small[places]` and `small[start:stop:step]` are such arrays.

    `parts` are arrays [M, 128, 128], counted one after the other; `places` [N]: which of them, in this order.
    """

    def __init__(self, parts: Sequence[NDArray[np.uint8]], places: NDArray[np.int64]) -> None:
        self.parts, self.places = parts, places
        self.begins = np.cumsum([0, *(len(part) for part in parts)])

    @classmethod
    def none(cls) -> SmallPictures:
        return cls([], np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.places)

    def at(self, places: NDArray[Any]) -> SmallPictures:
        """The pictures at these places only; nothing is read."""
        return SmallPictures(self.parts, self.places[places])

    def __getitem__(self, places: NDArray[Any] | slice) -> NDArray[np.uint8]:
        wanted = self.places[places]
        part_of = np.searchsorted(self.begins, wanted, "right") - 1
        made = np.empty((len(wanted), SIDE, SIDE), np.uint8)
        for part in np.unique(part_of).tolist():
            own = part_of == part
            made[own] = self.parts[part][wanted[own] - self.begins[part]]
        return made


Small = SmallPictures | NDArray[np.uint8]
