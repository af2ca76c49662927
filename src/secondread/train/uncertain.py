"""What becomes of labels of −1 (uncertain), one policy for all labels or one per label (Irvin et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.core.errors import WrongRequest
from secondread.train.loss_types import Loss, Prior, on_device

SMOOTH = (0.55, 0.85)  # Pham et al. 2019, label smoothing of uncertain labels taken as positive
UNCERTAIN = -1.0


def policies_of(written: str | Mapping[str, str], classes: Sequence[str]) -> list[str]:
    """One policy per class, `ignore` for those a mapping does not name; raises `WrongRequest`."""
    if isinstance(written, str):
        named = dict.fromkeys(classes, written)
    else:
        named = dict.fromkeys(classes, "ignore") | dict(written)
    for label in named:
        if label not in classes:
            raise WrongRequest(f"train.uncertain: there is no class {label!r}. Classes: {', '.join(classes)}")
    return [named[label] for label in classes]


def resolved(labels: NDArray[np.float32], policies: Sequence[str], seed: int) -> NDArray[np.float32]:
    """Labels [N,K] in 0..1, NaN where the loss leaves the entry out; −1 stays where the policy is `multi_class`.

    `smooth` draws one fixed number per entry, so that an image has the same label in every epoch.
    """
    made = labels.astype(np.float32, copy=True)
    drawn = np.random.default_rng([seed, 5]).uniform(*SMOOTH, size=made.shape).astype(np.float32)
    for k, policy in enumerate(policies):
        uncertain = made[:, k] == UNCERTAIN
        if policy == "smooth":
            made[uncertain, k] = drawn[uncertain, k]
        elif policy != "multi_class":
            made[uncertain, k] = {"ignore": np.nan, "zeros": 0.0, "ones": 1.0}[policy]
    return made


def with_mask(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Labels without NaN, and the mask [B,K] that is 0 where they had one."""
    unknown = labels.isnan()
    return torch.where(unknown, 0.0, labels), (~unknown).to(labels.dtype)


class ThreeWay(Loss):
    """Labels of policy `multi_class` are told apart as absent, present or uncertain; the others go to `base`.

    Logits are [B, K+E]: one per class, then one more for each of the E three-way labels. Absence has the logit 0, so
    that σ(z) is p₁/(p₀+p₁), which is all that is used once training is over. `prior` is that of the plan: what `base`
    makes of it holds for its own labels only.
    """

    def __init__(self, base: Loss, policies: Sequence[str], prior: Prior) -> None:
        told = zip(policies, prior, base.prior, strict=True)
        super().__init__(tuple(plain if policy == "multi_class" else moved for policy, plain, moved in told))
        self.base = base
        self.three = on_device(torch.tensor([k for k, policy in enumerate(policies) if policy == "multi_class"]))
        self.classes = len(policies)

    def forward(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        three_way = self.three(logits.device)
        known = mask.index_select(1, three_way)
        three = (self._three_way(logits.float(), labels.index_select(1, three_way)) * known).sum()
        rest = mask.index_fill(1, three_way, 0.0)
        others: Tensor = self.base(logits[:, : self.classes], labels.clamp(min=0.0), rest)
        mean: Tensor = (three + others * rest.sum()) / (known.sum() + rest.sum()).clamp(min=1.0)
        return mean

    def _three_way(self, logits: Tensor, labels: Tensor) -> Tensor:
        """−log softmax(0, z, u) at the label's place, [B,E]."""
        present, uncertain = logits.index_select(1, self.three(logits.device)), logits[:, self.classes :]
        three = torch.stack([torch.zeros_like(present), present, uncertain], dim=-1).log_softmax(-1)
        place = torch.where(labels == UNCERTAIN, 2.0, labels).round().long()
        return -three.gather(-1, place.unsqueeze(-1)).squeeze(-1)
