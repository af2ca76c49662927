"""Trainings that came to nothing: the network says the same of every image."""

from __future__ import annotations

import numpy as np

from secondread.evaluate.predictions import Evidence, Part, Predicted
from secondread.pages.sentences import Sentence, listed
from secondread.pages.tables import Name

LEAST_SPREAD = 0.1
"""Standard deviation of validation logits below which a network tells no image from another; what has learned has some
tenths at the least."""
SAID = (
    " gave, in one training at least, nearly the same answer for every validation image. Such figures tell that the "
    "training failed, not what the network can: try more epochs, another learning rate or no early stopping."
)


def unlearned(evidence: Evidence) -> list[Predicted]:
    """Trials whose validation logits hardly vary from image to image."""
    exclusive = evidence.dataset.task != "multilabel"
    return [one for one in evidence.trials if _spread(one.val, exclusive) < LEAST_SPREAD]


def failed(evidence: Evidence) -> list[Sentence]:
    """A warning that names them; nothing where every training came to something."""
    recipes = dict.fromkeys(f"{one.arm} · {one.model}" for one in unlearned(evidence))
    if not recipes:
        return []
    pieces = [*listed(Name(recipe) for recipe in recipes), SAID]
    return [Sentence("Did not learn.", pieces, "warning")]


def _spread(part: Part, exclusive: bool) -> float:
    """The largest standard deviation over images of any logit; infinite where it is not known."""
    logits = part.logits[np.isfinite(part.logits).all(axis=1)]
    if len(logits) < 2:
        return np.inf
    if exclusive:  # only their differences say anything
        logits = logits - logits.mean(axis=1, keepdims=True)
    return float(logits.std(axis=0).max())
