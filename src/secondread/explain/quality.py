"""How good the maps are: quality.csv, every figure beside what it would be without a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from secondread.explain.body import body_mask, share_outside
from secondread.explain.faithfulness import deletion_and_insertion, randomised, rank_correlation
from secondread.explain.grad_cam import Method, explain, random_cam
from secondread.explain.localisation import Measure, best_cut, centre_prior, enlarged, mean_of, measures
from secondread.explain.masks import MARKER, Masks
from secondread.explain.selection import Judged
from secondread.metrics.calibration import OperatingPoint
from secondread.models.classifier import Classifier

COLUMNS = ["measure", "method", "class", "value", "low", "high", "n", "note"]
MOST_CASES = 200
FAITHFUL_CASES = 24
RANDOMISED_CASES = 32
BATCH = 16
Floats = NDArray[np.float32]
Images = Callable[[Sequence[str]], NDArray[np.uint8]]
"""Row ids → pixels [N,C,S,S]."""


@dataclass(frozen=True)
class Subject:
    """The model whose maps are judged, and how its images are got."""

    classifier: Classifier
    point: OperatingPoint
    images: Images
    methods: tuple[Method, ...]

    def probabilities(self, images: Tensor) -> NDArray[np.float64]:
        return np.asarray(self.point.probabilities(self.classifier(images).numpy()))


@dataclass(frozen=True)
class Target:
    """One map to judge: a label of an image."""

    row_id: str
    group: str
    label: int


def quality(subject: Subject, test: Judged, val: Judged, masks: Masks | None) -> pd.DataFrame:
    """Every figure, in the columns `COLUMNS`; localisation only where there are masks."""
    rows: list[dict[str, Any]] = []
    if masks is not None:
        rows += _localisation(subject, test, val, masks)
    decided = _decided(test, MOST_CASES)
    rows += _outside_body(subject, decided)
    rows += _faithfulness(subject, decided[:FAITHFUL_CASES])
    rows += _randomisation(subject, decided[:RANDOMISED_CASES])
    return pd.DataFrame(rows, columns=COLUMNS)


def maps_of(classifier: Classifier, images: Images, targets: Sequence[Target], method: Method) -> list[Floats]:
    """The map [h,w] of every target."""
    found: list[Floats] = []
    for at in range(0, len(targets), BATCH):
        part = targets[at : at + BATCH]
        pixels = torch.from_numpy(images([target.row_id for target in part]))
        maps = explain(classifier, pixels, (method,))[method].numpy()
        found += [maps[i, target.label] for i, target in enumerate(part)]
    return found


def _row(measure: str, method: str, found: Measure, label: str = "all", note: str = "") -> dict[str, Any]:
    return dict(zip(COLUMNS, (measure, method, label, found.value, found.low, found.high, found.n, note), strict=True))


def _masked(judged: Judged, masks: Masks) -> tuple[list[Target], list[Target], dict[Target, NDArray[np.bool_]]]:
    """Targets that are present and have a mask: those decided for, those missed, and the masks."""
    found: list[Target] = []
    missed: list[Target] = []
    where: dict[Target, NDArray[np.bool_]] = {}
    groups, ids = judged.rows["group"].astype(str), judged.rows["row_id"].astype(str)
    present = ((at, int(k)) for at in _drawn_order(judged) for k in np.flatnonzero(judged.labels[at] == 1))
    for at, k in present:
        mask = masks.of(ids.iloc[at], judged.classes[k])
        if mask is None:
            continue
        target = Target(ids.iloc[at], groups.iloc[at], k)
        where[target] = mask
        (found if judged.decisions[at, k] == 1 else missed).append(target)
        if len(where) == MOST_CASES:
            break
    return found, missed, where


def _drawn_order(judged: Judged) -> NDArray[np.intp]:
    """All places in an order that does not follow files, or the first of many would be those of one class or site."""
    return np.random.default_rng(0).permutation(len(judged.rows))


def _localisation(subject: Subject, test: Judged, val: Judged, masks: Masks) -> list[dict[str, Any]]:
    """Pointing game, mass and overlap of found findings; beside them a centre prior, random weights, a random model."""
    found, missed, where = _masked(test, masks)
    if not where:
        return []
    on_val, _, where_val = _masked(val, masks)
    gone = [float(target in set(missed)) for target in where]
    rows = [_row("missed", "model", mean_of(gone, [target.group for target in where]), note="share of the findings")]
    if not found:  # a network that finds nothing has no maps to measure, but that is to be told
        return rows + _on_marker(subject, test, masks)
    size = masks.size
    for name, maps in _map_makers(subject, size).items():  # baselines too are cut where validation says
        cut = best_cut([enlarged(heat, size) for heat in maps(on_val)], [where_val[target] for target in on_val])
        rows += _measured(name, maps(found), found, where, test, cut)
    return rows + _on_marker(subject, test, masks)


def _map_makers(subject: Subject, size: int) -> dict[str, Callable[[Sequence[Target]], list[Floats]]]:
    """What is measured: the maps of each method, and beside them those that know nothing of the image or the task."""
    untrained, first = randomised(subject.classifier)[-1][1], subject.methods[0]
    makers: dict[str, Callable[[Sequence[Target]], list[Floats]]] = {
        "centre_prior": lambda targets: [centre_prior(size)] * len(targets),
        "random_weights": partial(_random_maps, subject),
        "randomised_model": partial(maps_of, untrained, subject.images, method=first),
    }
    for method in reversed(subject.methods):
        makers = {method: partial(maps_of, subject.classifier, subject.images, method=method)} | makers
    return makers


def _measured(
    method: str, heats: Sequence[Floats], targets: Sequence[Target], where: dict[Target, NDArray[np.bool_]],
    judged: Judged, cut: float,
) -> list[dict[str, Any]]:  # fmt: skip
    large = [enlarged(heat, len(where[target])) for heat, target in zip(heats, targets, strict=True)]
    rows = []
    for label in [None, *sorted({target.label for target in targets})]:
        own = [at for at, target in enumerate(targets) if label is None or target.label == label]
        told = measures(
            [large[at] for at in own], [where[targets[at]] for at in own], [targets[at].group for at in own], cut
        )
        name = "all" if label is None else judged.classes[label]
        notes = dict.fromkeys(told, "of the findings it found") | {
            "iou": f"of them; above {cut:g} of the largest value"
        }
        rows += [_row(measure, method, one, name, notes[measure]) for measure, one in told.items()]
    return rows


def _random_maps(subject: Subject, targets: Sequence[Target]) -> list[Floats]:
    found: list[Floats] = []
    for at in range(0, len(targets), BATCH):
        pixels = torch.from_numpy(subject.images([target.row_id for target in targets[at : at + BATCH]]))
        with torch.inference_mode():
            found += list(random_cam(subject.classifier.feature_maps(pixels), seed=at).numpy())
    return found


def _on_marker(subject: Subject, test: Judged, masks: Masks) -> list[dict[str, Any]]:
    """Mass on the burnt-in marker, which is no finding, beside the marker's share of the area."""
    decided = [target for target in _decided(test, len(test.rows)) if MARKER in masks.named(target.row_id)]
    marks = {target: masks.marker(target.row_id) for target in decided[:MOST_CASES]}
    targets = [target for target, mask in marks.items() if mask is not None]
    shown = [mask for mask in marks.values() if mask is not None]
    if not targets:
        return []
    groups = [target.group for target in targets]
    rows = []
    for method in subject.methods:
        heats = [enlarged(h, masks.size) for h in maps_of(subject.classifier, subject.images, targets, method)]
        mass = [float(h[m].sum() / h.sum()) if h.sum() > 0 else 0.0 for h, m in zip(heats, shown, strict=True)]
        rows.append(_row("mass_on_marker", method, mean_of(mass, groups), note="a burnt-in token, no finding"))
    area = mean_of([float(mask.mean()) for mask in shown], groups)
    return [*rows, _row("mass_on_marker", "even_map", area, note="the token's share of the area")]


def _decided(judged: Judged, most: int) -> list[Target]:
    """What was decided for, one label per image, in the drawn order."""
    groups, ids = judged.rows["group"].astype(str), judged.rows["row_id"].astype(str)
    shown = [(at, np.flatnonzero(judged.decisions[at] == 1)) for at in _drawn_order(judged)]
    picked = [(at, int(ks[np.argmax(judged.probabilities[at, ks])])) for at, ks in shown if len(ks)]
    return [Target(ids.iloc[at], groups.iloc[at], label) for at, label in picked[:most]]


def _outside_body(subject: Subject, targets: Sequence[Target]) -> list[dict[str, Any]]:
    rows, groups = [], [target.group for target in targets]
    bodies = [body_mask(np.moveaxis(subject.images([target.row_id])[0], 0, -1).squeeze()) for target in targets]
    for method in subject.methods:
        heats = maps_of(subject.classifier, subject.images, targets, method)
        shares = [share_outside(enlarged(h, len(b)), b) for h, b in zip(heats, bodies, strict=True)]
        rows.append(_row("mass_outside_body", method, mean_of(shares, groups), note="of the class decided"))
    area = mean_of([float((~body).mean()) for body in bodies], groups)
    return [*rows, _row("mass_outside_body", "even_map", area, note="the background's share of the area")]


def _faithfulness(subject: Subject, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Deletion and insertion by each method, and by random maps of the same coarseness."""
    rows, groups = [], [target.group for target in targets]
    images = [subject.images([target.row_id])[0] for target in targets]
    orders = {method: maps_of(subject.classifier, subject.images, targets, method) for method in subject.methods}
    drawn = np.random.default_rng(0)
    shapes = [heat.shape for heat in orders[subject.methods[0]]]
    noise = {"random_map": [drawn.random(shape).astype(np.float32) for shape in shapes]}
    for method, heats in [*orders.items(), *noise.items()]:
        pairs = [
            deletion_and_insertion(subject.probabilities, image, enlarged(heat, image.shape[-1]), target.label)
            for image, heat, target in zip(images, heats, targets, strict=True)
        ]
        for at, measure in enumerate(("deletion", "insertion")):
            note = "mean probability of the class decided; " + ("lower" if at == 0 else "higher") + " is better"
            rows.append(_row(measure, method, mean_of([pair[at] for pair in pairs], groups), note=note))
    return rows


def _randomisation(subject: Subject, targets: Sequence[Target]) -> list[dict[str, Any]]:
    """Rank correlation of the maps with those of ever more randomised copies: it must fall."""
    method, groups = subject.methods[0], [target.group for target in targets]
    trained = maps_of(subject.classifier, subject.images, targets, method)
    rows = []
    for name, copy in randomised(subject.classifier):
        other = maps_of(copy, subject.images, targets, method)
        alike = [rank_correlation(one, two) for one, two in zip(trained, other, strict=True)]
        rows.append(_row("rank_correlation_after_randomising", method, mean_of(alike, groups), note=name))
    return rows
