"""Has the generator collapsed? It has when its images differ far less from each other than real ones do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.core.errors import BadData
from secondread.core.progress import say

LEAST_SHARE = 0.15
CHECKS_IN_A_ROW = 3


def diversity(images: NDArray[np.uint8]) -> float:
    """Mean pixel distance between two images of the set, in grey levels, after block means of 8×8.

    Block means leave the anatomy and drop the noise, which a collapsed generator can still vary.
    """
    count, height = len(images), images.shape[1]
    block = max(height // 8, 1)
    small = images.reshape(count, 8, block, 8, block, -1).mean(axis=(2, 4)).reshape(count, -1)
    order = np.arange(count)
    apart = [np.abs(small - small[np.roll(order, shift)]).mean() for shift in range(1, min(count, 9))]
    return float(np.mean(apart))


@dataclass
class CollapseWatch:
    """Called at every sample sheet; raises `BadData` (or says so) after three sheets in a row without diversity."""

    name: str
    real: float
    """Diversity of as many real training images."""
    stop: bool
    quiet_until: int
    """Generator updates before which nothing is judged."""
    bad: int = 0
    said: bool = field(default=False)

    def look(self, images: NDArray[np.uint8], step: int) -> float:
        share = diversity(images) / max(self.real, 1e-9)
        self._count(share, step)
        if self.bad >= CHECKS_IN_A_ROW:
            told = (
                f"{self.name} has collapsed at step {step}: its images differ {share:.0%} as much as real ones. "
                "Try another GAN (wgan_gp collapses least), a lower lr, or `augment: [translation, cutout]`"
            )
            if self.stop:
                raise BadData(told)
            if not self.said:
                say(told)
                self.said = True
        return share

    def recall(self, curve: pd.DataFrame) -> None:
        """Count the sheets that stand in the curve of a training that goes on."""
        for share, step in zip(curve["diversity"], curve["step"], strict=True):
            self._count(float(share), int(step))

    def _count(self, share: float, step: int) -> None:
        self.bad = self.bad + 1 if share < LEAST_SHARE and step >= self.quiet_until else 0
