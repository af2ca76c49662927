"""Every registered loss: a scalar with finite gradients, blind to what is masked, lower for better logits."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from secondread.core.errors import WrongRequest
from secondread.core.registry import find, parts, resolve
from secondread.core.spec import ref
from secondread.train.loss_types import Loss, LossSpec

NAMES = list(parts("losses"))
SPECS = {
    "binary": LossSpec("binary", (90.0, 30.0), (120.0, 120.0)),
    "multiclass": LossSpec("multiclass", (80.0, 30.0, 10.0), (120.0, 120.0, 120.0)),
    "multilabel": LossSpec("multilabel", (60.0, 12.0, 3.0), (120.0, 100.0, 90.0)),
}


def built(name: str, task: str, **options: float) -> Loss:
    made: Loss = resolve("losses", ref(name, **options))(SPECS[task])
    return made


def accepts(name: str, task: str) -> bool:
    try:
        built(name, task)
    except WrongRequest:
        return False
    return True


PAIRS = [(name, task) for name in NAMES for task in SPECS if accepts(name, task)]
of_every_pair = pytest.mark.parametrize(("name", "task"), PAIRS)


def batch(task: str, rows: int = 12, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(seed)
    classes = len(SPECS[task].counts)
    logits = torch.randn(rows, classes, generator=chance)
    if task == "multilabel":
        labels = torch.randint(0, 2, (rows, classes), generator=chance).float()
    else:
        labels = torch.eye(classes)[torch.randint(0, classes, (rows,), generator=chance)]
    return logits, labels, torch.ones(rows, classes)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_it_cannot_serve_is_refused_by_name(name: str) -> None:
    served = {task for task in SPECS if (name, task) in PAIRS}
    assert served in ({"binary", "multiclass"}, {"binary", "multilabel"})
    (other,) = set(SPECS) - served
    with pytest.raises(WrongRequest, match=name):
        built(name, other)
    assert find("losses", name).summary.endswith(".")


@of_every_pair
def test_a_finite_scalar_whose_gradient_reaches_every_logit(name: str, task: str) -> None:
    loss, (logits, labels, mask) = built(name, task), batch(task)
    logits.requires_grad_(True)
    value = loss(logits, labels, mask)
    value.backward()
    assert value.shape == ()
    assert value >= 0
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert (logits.grad != 0).any(dim=0).all()


@of_every_pair
def test_extreme_logits_stay_finite(name: str, task: str) -> None:
    logits, labels, mask = batch(task)
    powers = [option for option in find("losses", name).options if option.startswith("gamma")]
    for loss in (built(name, task), built(name, task, **dict.fromkeys(powers, 0.5))):
        for scale in (0.0, 1e4, -1e4):
            extreme = (logits * scale).requires_grad_(True)
            value = loss(extreme, labels, mask)
            value.backward()
            assert value.isfinite()
            assert extreme.grad is not None
            assert extreme.grad.isfinite().all()


@of_every_pair
def test_smoothing_acts_or_is_refused(name: str, task: str) -> None:
    logits, labels, mask = batch(task)
    spec = replace(SPECS[task], smoothing=0.2)
    if name == "auc_margin":
        with pytest.raises(WrongRequest, match="label_smoothing: auc_margin"):
            resolve("losses", ref(name))(spec)
        return
    smooth: Loss = resolve("losses", ref(name))(spec)
    assert smooth(logits, labels, mask) != built(name, task)(logits, labels, mask)


@of_every_pair
def test_right_is_better_than_wrong(name: str, task: str) -> None:
    loss, (_, labels, mask) = built(name, task), batch(task, rows=40)
    right, wrong = (labels * 2 - 1) * 3, (1 - labels * 2) * 3
    middle = torch.zeros_like(labels)
    assert loss(right, labels, mask) < loss(middle, labels, mask) < loss(wrong, labels, mask)


@of_every_pair
def test_what_is_masked_does_not_count(name: str, task: str) -> None:
    loss, (logits, labels, mask) = built(name, task), batch(task)
    mask[::3] = 0.0
    other = logits.clone()
    other[::3] = 7.0
    kept = mask[:, 0] == 1
    expected = loss(logits[kept], labels[kept], mask[kept])
    torch.testing.assert_close(loss(other, labels, mask), expected)
    assert loss(logits, labels, torch.zeros_like(mask)) == 0


@of_every_pair
def test_the_order_of_rows_and_autocast_do_not_matter(name: str, task: str) -> None:
    loss, (logits, labels, mask) = built(name, task), batch(task)
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(loss(logits[order], labels[order], mask[order]), loss(logits, labels, mask))
    half = loss(logits.bfloat16(), labels, mask)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, loss(logits.bfloat16().float(), labels, mask))


@of_every_pair
def test_the_implied_prior_is_one(name: str, task: str) -> None:
    loss = built(name, task)
    assert len(loss.prior) == len(SPECS[task].counts)
    assert all(0 < share < 1 for share in loss.prior)
    if task != "multilabel":
        assert sum(loss.prior) == pytest.approx(1)


@of_every_pair
def test_soft_labels_lie_between(name: str, task: str) -> None:
    loss, (logits, labels, mask) = built(name, task), batch(task, rows=16)
    other = labels.roll(1, dims=0)
    if name == "auc_margin":  # not linear in the labels
        assert loss(logits, 0.5 * labels + 0.5 * other, mask).isfinite()
        return
    between = loss(logits, 0.5 * labels + 0.5 * other, mask)
    torch.testing.assert_close(between, (loss(logits, labels, mask) + loss(logits, other, mask)) / 2)
