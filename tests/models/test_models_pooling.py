from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from secondread.models.pooling import FixedAdaptivePool, averaging_matrix


@settings(max_examples=40, derandomize=True, deadline=None)
@given(side=st.integers(1, 20), cells=st.integers(1, 8))
def test_the_fixed_pool_is_torchs_adaptive_pool(side: int, cells: int) -> None:
    maps = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(side * 31 + cells))
    torch.testing.assert_close(FixedAdaptivePool(side, cells)(maps), functional.adaptive_avg_pool2d(maps, cells))


def test_every_cell_is_an_average() -> None:
    torch.testing.assert_close(averaging_matrix(5, 7).sum(1), torch.ones(7))


def test_maps_of_another_side_than_built_for_are_pooled_too() -> None:
    maps = torch.randn(1, 2, 9, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(FixedAdaptivePool(2, 6)(maps), functional.adaptive_avg_pool2d(maps, 6))


def test_the_matrix_is_no_weight() -> None:
    assert not FixedAdaptivePool(2, 7).state_dict()


@pytest.mark.parametrize("model", ["vgg16", "alexnet"])
def test_pooling_networks_export_with_few_cells_of_map(model: str) -> None:
    from secondread.core.spec import ref
    from secondread.models.build import build_classifier
    from secondread.models.spec import ModelSpec

    built = build_classifier(ref(model, dense=8), ModelSpec(2, 1, 64), mean=[0.5], std=[0.5], seed=0).eval()
    image = torch.zeros(2, 1, 64, 64, dtype=torch.uint8)
    exported = torch.export.export(built, (image,), dynamic_shapes=({0: torch.export.Dim("n")},))
    called = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert not [name for name in called if "adaptive" in name]
    more = torch.arange(3 * 64 * 64).reshape(3, 1, 64, 64).remainder(256).to(torch.uint8)
    torch.testing.assert_close(exported.module()(more), built(more))
