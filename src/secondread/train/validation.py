"""The figures of one epoch on the validation rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from secondread.core.tables import Dataset, known_labels
from secondread.learning.inference import probabilities
from secondread.metrics.cases import Cases, cases
from secondread.metrics.scores import chosen, score
from secondread.train.loss_types import Loss
from secondread.train.uncertain import resolved, with_mask

FIGURES = ("accuracy", "recall", "auroc")


def figures(
    logits: NDArray[np.float32],
    labels: NDArray[np.float32],
    loss: Loss,
    policies: list[str],
    dataset: Dataset,
    seed: int,
) -> dict[str, float]:
    """`val_loss` by the trial's own loss, and accuracy, recall and AUROC (headline) of plain decisions.

    `logits` [N,K+E] may hold further ones (`uncertain: multi_class`); `labels` [N,K] are as found.
    """
    with torch.no_grad():
        told, mask = with_mask(torch.from_numpy(resolved(labels, policies, seed)))
        found = {"val_loss": float(loss(torch.from_numpy(logits), told, mask))}
    mine = logits[:, : len(dataset.classes)]
    set_of = cases(known_labels(labels), probabilities(mine, dataset.task), task=dataset.task, classes=dataset.classes)
    values = {(one.metric, one.row): one.value for one in score(set_of, FIGURES)}
    for metric in chosen(FIGURES, dataset.task):
        headline = values[metric.name, metric.headline(dataset.task, set_of.classes)]
        found[f"val_{metric.name}"] = headline if np.isfinite(headline) else _of_few(metric.name, values, set_of)
    return found


def _of_few(metric: str, values: dict[tuple[str, str], float], set_of: Cases) -> float:
    """The mean over the classes that have a value at all: with few positives the headline of a report has none."""
    known = [values[metric, name] for name in set_of.classes if np.isfinite(values.get((metric, name), np.nan))]
    return float(np.mean(known)) if known else float("nan")
