"""Adaptive average pooling that exports: the cells are fixed when the network is built."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FixedAdaptivePool(nn.Module):
    """`AdaptiveAvgPool2d(cells)` for maps of a known side, as two small matrix products.

    ONNX has no adaptive pooling, and its exporters refuse maps that are smaller than the cells or no multiple of them.
    The matrices hold the same averages; they belong to the built size, not to the weights.
    """

    rows: Tensor

    def __init__(self, side: int, cells: int) -> None:
        super().__init__()
        self.side, self.cells = side, cells
        self.register_buffer("rows", averaging_matrix(side, cells), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """[B,F,side,side] → [B,F,cells,cells]; maps of another side are pooled by torch itself."""
        if tuple(maps.shape[-2:]) != (self.side, self.side):
            return functional.adaptive_avg_pool2d(maps, self.cells)
        if self.side == self.cells:
            return maps
        rows = self.rows.to(maps.dtype)
        return rows @ maps @ rows.T


def averaging_matrix(side: int, cells: int) -> Tensor:
    """[cells, side]: row i averages from ⌊i·side/cells⌋ up to ⌈(i+1)·side/cells⌉, as torch's adaptive pooling does."""
    matrix = torch.zeros(cells, side)
    for i in range(cells):
        first, last = i * side // cells, -(-(i + 1) * side // cells)
        matrix[i, first:last] = 1 / (last - first)
    return matrix
