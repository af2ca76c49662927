"""What the loop calls: images (or features of them) and labels in, the loss and the share of right answers out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from torch import Tensor, nn

from secondread.core.errors import WrongRequest
from secondread.core.spec import PartRef
from secondread.models.build import shapes_of
from secondread.models.classifier import Classifier, TrainOutput
from secondread.models.statedict import OURS
from secondread.train.loss_types import Loss
from secondread.train.uncertain import with_mask

AUXILIARY_WEIGHT = 0.3  # of each auxiliary classifier (Szegedy et al. 2015)


class Objective(nn.Module):
    """A classifier and its loss as one module, which may be compiled and shared among processes as a whole.

    `route` says how inputs become logits: from pixels, or from features that were computed once.
    """

    def __init__(
        self, classifier: Classifier, loss: Loss, route: Callable[[Tensor], TrainOutput], classes: int
    ) -> None:
        super().__init__()
        self.classifier, self.loss = classifier, loss
        self.route, self.classes = route, classes
        self.exclusive = classifier.backbone.spec.task != "multilabel"

    def forward(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Labels [B,K] are NaN where nothing is said."""
        known, mask = with_mask(labels)
        logits, aux = self.route(inputs)
        loss = self.loss(logits, known, mask)
        for other in aux:
            loss = loss + AUXILIARY_WEIGHT * self.loss(other, known, mask)
        return loss, self._right(logits.detach()[:, : self.classes], known, mask)

    def _right(self, logits: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if self.exclusive:
            right = (logits.argmax(dim=1) == labels.argmax(dim=1)).float()
            weight = mask.amin(dim=1)
        else:
            right, weight = ((logits > 0) == (labels > 0.5)).float(), mask
        return (right * weight).sum() / weight.sum().clamp(min=1.0)


def has_batch_norm(module: nn.Module) -> bool:
    """Whether something in it, now in train mode, takes statistics over the batch."""
    return any(isinstance(one, nn.modules.batchnorm._BatchNorm) and one.training for one in module.modules())


def without_uncertain_logits(classifier: Classifier, model: PartRef, classes: int) -> dict[str, Tensor]:
    """The state dict of a classifier with one logit per class; those of `uncertain: multi_class` are cut off.

    Raises `WrongRequest` for a network of which more than its last layers depends on the number of logits.
    """
    state, spec = dict(classifier.state_dict()), classifier.backbone.spec
    if spec.classes == classes:
        return state
    for name, shape in shapes_of(model, replace(spec, classes=classes, pretrained=True)).items():
        key = f"{OURS}{name}"
        if state[key].shape[1:] != shape[1:]:
            raise WrongRequest(
                f"train.uncertain: multi_class gives a network further logits, and {model.name} cannot be cut to "
                "fewer once it is trained: use another policy or another model"
            )
        state[key] = state[key][: shape[0]] if shape else state[key]
    return state
