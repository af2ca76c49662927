"""Each loss against a closed form or another library, and the prior that it leaves in the logits."""

from __future__ import annotations

import pytest
import torch
from timm.loss import AsymmetricLossMultiLabel
from torch import Tensor
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

from secondread.core.registry import resolve
from secondread.core.spec import ref
from secondread.train.loss_types import Loss, LossSpec

BINARY = LossSpec("binary", (90.0, 30.0), (120.0, 120.0))
MULTICLASS = LossSpec("multiclass", (80.0, 30.0, 10.0), (120.0, 120.0, 120.0))
MULTILABEL = LossSpec("multilabel", (60.0, 12.0), (120.0, 100.0))


def built(spec: LossSpec, name: str, **options: float) -> Loss:
    made: Loss = resolve("losses", ref(name, **options))(spec)
    return made


def exclusive(classes: int, rows: int = 20) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(classes)
    index = torch.randint(0, classes, (rows,), generator=chance)
    return torch.randn(rows, classes, generator=chance) * 2, index, torch.eye(classes)[index], torch.ones(rows, classes)


def independent(rows: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    chance = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 2, (rows, 2), generator=chance).float()
    return torch.randn(rows, 2, generator=chance) * 2, labels, torch.ones(rows, 2)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_torchs(smoothing: float) -> None:
    logits, index, labels, mask = exclusive(3)
    spec = LossSpec("multiclass", MULTICLASS.counts, MULTICLASS.known, smoothing)
    expected = functional.cross_entropy(logits, index, label_smoothing=smoothing)
    torch.testing.assert_close(built(spec, "cross_entropy")(logits, labels, mask), expected)


@pytest.mark.parametrize(("power", "weights"), [(1.0, [0.5, 4 / 3, 4.0]), (0.5, [0.5**0.5, (4 / 3) ** 0.5, 2.0])])
def test_weights_are_inverse_frequencies_of_mean_one(power: float, weights: list[float]) -> None:
    logits, index, labels, mask = exclusive(3)
    weight = torch.tensor(weights)
    weight = weight / (weight * torch.tensor([80, 30, 10]) / 120).sum()
    expected = (functional.cross_entropy(logits, index, reduction="none") * weight[index]).mean()
    loss = built(MULTICLASS, "weighted_cross_entropy", power=power)
    torch.testing.assert_close(loss(logits, labels, mask), expected)


def test_weights_are_capped() -> None:
    spec = LossSpec("multiclass", (1e6, 1.0, 1e6), (2e6 + 1,) * 3)
    loss = built(spec, "weighted_cross_entropy", power=1.0, cap=3.0)
    assert loss.prior[1] / loss.prior[0] == pytest.approx(3.0 / (2 / 3) * 1e-6, rel=1e-3)


def test_class_balanced_weights_follow_the_effective_number() -> None:
    logits, index, labels, mask = exclusive(3)
    weight = torch.tensor([(1 - 0.99) / (1 - 0.99**count) for count in (80, 30, 10)])
    weight = weight / (weight * torch.tensor([80, 30, 10]) / 120).sum()
    expected = (functional.cross_entropy(logits, index, reduction="none") * weight[index]).mean()
    torch.testing.assert_close(built(MULTICLASS, "class_balanced", beta=0.99)(logits, labels, mask), expected)


def test_focal_is_its_formula_and_cross_entropy_at_zero() -> None:
    logits, index, labels, mask = exclusive(3)
    p = logits.softmax(1).gather(1, index[:, None])[:, 0]
    torch.testing.assert_close(built(MULTICLASS, "focal")(logits, labels, mask), (-((1 - p) ** 2) * p.log()).mean())
    plain = built(MULTICLASS, "cross_entropy")(logits, labels, mask)
    torch.testing.assert_close(built(MULTICLASS, "focal", gamma=0)(logits, labels, mask), plain)


def test_logit_adjustment_adds_the_log_prior_and_leaves_a_flat_one() -> None:
    logits, index, labels, mask = exclusive(3)
    expected = functional.cross_entropy(logits + torch.tensor([80, 30, 10]).div(120).log(), index)
    loss = built(MULTICLASS, "logit_adjusted")
    torch.testing.assert_close(loss(logits, labels, mask), expected)
    assert loss.prior == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_bce_is_torchs() -> None:
    logits, labels, mask = independent()
    expected = functional.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(built(MULTILABEL, "bce")(logits, labels, mask), expected)


def test_weighted_bce_is_torchs_pos_weight() -> None:
    logits, labels, mask = independent()
    weight = torch.tensor([1.0, 88 / 12])
    expected = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight)
    torch.testing.assert_close(built(MULTILABEL, "weighted_bce", power=1.0)(logits, labels, mask), expected)
    capped = functional.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight.clamp(max=2))
    torch.testing.assert_close(built(MULTILABEL, "weighted_bce", power=1.0, cap=2)(logits, labels, mask), capped)


@pytest.mark.parametrize(("gamma", "alpha"), [(2.0, None), (1.0, 0.7), (0.5, 0.25)])
def test_focal_bce_is_torchvisions(gamma: float, alpha: float | None) -> None:
    logits, labels, mask = independent()
    expected = sigmoid_focal_loss(logits, labels, alpha=-1 if alpha is None else alpha, gamma=gamma, reduction="mean")
    options = {"gamma": gamma} | ({} if alpha is None else {"alpha": alpha})
    torch.testing.assert_close(built(MULTILABEL, "focal_bce", **options)(logits, labels, mask), expected)


def test_focal_bce_without_focus_is_bce() -> None:
    logits, labels, mask = independent()
    expected = functional.binary_cross_entropy_with_logits(logits, labels)
    torch.testing.assert_close(built(MULTILABEL, "focal_bce", gamma=0.0)(logits, labels, mask), expected)


def test_asymmetric_is_timms_per_entry() -> None:
    logits, labels, mask = independent()
    theirs = AsymmetricLossMultiLabel(gamma_neg=4, gamma_pos=1, clip=0.05, reduction="sum")
    torch.testing.assert_close(
        built(MULTILABEL, "asymmetric")(logits, labels, mask), theirs(logits, labels) / labels.numel()
    )


def test_auc_margin_is_the_saddle_point_of_the_published_objective() -> None:
    logits, labels, mask = independent(40)
    loss = built(MULTILABEL, "auc_margin")(logits, labels, mask)
    expected = []
    for k in range(2):
        scores, yes = logits[:, k].sigmoid(), labels[:, k] == 1
        a, b = scores[yes].mean(), scores[~yes].mean()
        alpha = (1.0 + b - a).clamp(min=0)
        objective = ((scores[yes] - a) ** 2).mean() + ((scores[~yes] - b) ** 2).mean()
        expected.append(objective + 2 * alpha * (1.0 + b - a) - alpha**2)
    torch.testing.assert_close(loss, torch.stack(expected).mean())


@pytest.mark.parametrize("name", ["bce", "weighted_bce", "focal_bce", "asymmetric", "auc_margin"])
def test_two_exclusive_classes_are_one_logit(name: str) -> None:
    logits, _, labels, mask = exclusive(2)
    one = LossSpec("multilabel", BINARY.counts[1:], BINARY.known[1:])
    expected = built(one, name)(logits[:, 1:] - logits[:, :1], labels[:, 1:], mask[:, 1:])
    torch.testing.assert_close(built(BINARY, name)(logits, labels, mask), expected)
    torch.testing.assert_close(built(BINARY, name)(logits + 5, labels, mask), expected)


def test_binary_cross_entropies_agree() -> None:
    logits, _, labels, mask = exclusive(2)
    torch.testing.assert_close(
        built(BINARY, "bce")(logits, labels, mask), built(BINARY, "cross_entropy")(logits, labels, mask)
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [("cross_entropy", {}), ("weighted_cross_entropy", {}), ("class_balanced", {}), ("logit_adjusted", {}), ("bce", {}),
     ("weighted_bce", {}), ("focal_bce", {"gamma": 0.0, "alpha": 0.7})],
)  # fmt: skip
def test_a_constant_fitted_with_the_loss_is_its_implied_prior(name: str, options: dict[str, float]) -> None:
    """The best constant logits for labels of the plan's prior are those of the prior that the loss says it implies."""
    loss = built(BINARY, name, **options)
    labels = torch.eye(2)[torch.tensor([0] * 90 + [1] * 30)]
    logits = torch.zeros(2, requires_grad=True)
    optimiser = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimiser.zero_grad()
        value: Tensor = loss(logits.expand(120, 2), labels, torch.ones(120, 2))
        value.backward()
        return value

    optimiser.step(closure)
    assert logits.softmax(0).tolist() == pytest.approx(loss.prior, abs=1e-3)
