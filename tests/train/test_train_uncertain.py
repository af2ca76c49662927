"""Uncertain labels become what the policy says, entry by entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from secondread.core.errors import WrongRequest
from secondread.core.registry import resolve
from secondread.core.spec import ref
from secondread.train.loss_types import LossSpec
from secondread.train.uncertain import SMOOTH, ThreeWay, policies_of, resolved, with_mask

LABELS = np.array([[1, 0], [-1, -1], [0, np.nan]], np.float32)


@pytest.mark.parametrize(
    ("policy", "value"), [("ignore", np.nan), ("zeros", 0.0), ("ones", 1.0), ("multi_class", -1.0)]
)
def test_only_the_uncertain_change(policy: str, value: float) -> None:
    made = resolved(LABELS, [policy, "ignore"], seed=0)
    assert np.array_equal(made[:, 0], np.array([1, value, 0], np.float32), equal_nan=True)
    assert np.array_equal(made[:, 1], np.array([0, np.nan, np.nan], np.float32), equal_nan=True)


def test_smooth_draws_once_for_a_seed() -> None:
    many = np.full((500, 2), -1, np.float32)
    made = resolved(many, ["smooth", "zeros"], seed=4)
    assert SMOOTH[0] <= made[:, 0].min() < made[:, 0].max() <= SMOOTH[1]
    assert not made[:, 1].any()
    assert np.array_equal(made, resolved(many, ["smooth", "zeros"], seed=4))


def test_policies_are_one_for_all_or_one_per_label() -> None:
    assert policies_of("ones", ["a", "b"]) == ["ones", "ones"]
    assert policies_of({"b": "zeros"}, ["a", "b"]) == ["ignore", "zeros"]
    with pytest.raises(WrongRequest, match="no class 'c'"):
        policies_of({"c": "zeros"}, ["a", "b"])


def test_the_mask_is_where_nothing_is_said() -> None:
    labels, mask = with_mask(torch.tensor([[1.0, float("nan")], [0.0, -1.0]]))
    assert labels.tolist() == [[1, 0], [0, -1]]
    assert mask.tolist() == [[1, 0], [1, 1]]


def test_three_way_is_cross_entropy_over_absent_present_uncertain() -> None:
    base = resolve("losses", ref("bce"))(LossSpec("multilabel", (5.0, 5.0), (10.0, 10.0)))
    loss = ThreeWay(base, ["multi_class", "zeros"], base.prior)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0.0, 1], [1, 0], [-1, 1], [1, 1], [0, 0], [-1, 0]])
    mask = torch.ones(6, 2)
    mask[4, 0] = 0
    three = torch.stack([torch.zeros(6), logits[:, 0], logits[:, 2]], dim=1)
    place = torch.tensor([0, 1, 2, 1, 0, 2])
    first = torch.nn.functional.cross_entropy(three, place, reduction="none")[mask[:, 0] == 1].sum()
    second = torch.nn.functional.binary_cross_entropy_with_logits(logits[:, 1], labels[:, 1], reduction="sum")
    torch.testing.assert_close(loss(logits, labels, mask), (first + second) / 11)
    assert loss.prior == base.prior


def test_the_weights_of_the_loss_move_the_prior_of_its_own_labels_only() -> None:
    spec = LossSpec("multilabel", (1.0, 1.0), (10.0, 10.0))
    base = resolve("losses", ref("weighted_bce", power=1.0))(spec)
    assert base.prior == pytest.approx((0.5, 0.5))
    assert ThreeWay(base, ["multi_class", "zeros"], spec.prior).prior == pytest.approx((0.1, 0.5))


def test_without_the_uncertain_three_way_odds_are_the_sigmoid() -> None:
    logits = torch.randn(5, 2)
    p = torch.stack([torch.zeros(5), logits[:, 0], logits[:, 1]], dim=1).softmax(1)
    torch.testing.assert_close(p[:, 1] / (p[:, 0] + p[:, 1]), logits[:, 0].sigmoid())
