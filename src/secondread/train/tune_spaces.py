"""What `train.search` lets be tried: what each key is drawn from, and the study with what was drawn."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna

from secondread.core.arms import merged
from secondread.core.errors import WrongRequest
from secondread.core.spec import Study, as_yaml
from secondread.core.studyfile import check_parts, parse_study
from secondread.models.catalogue import forbid_misfits

CHANGE_THE_LOSS = ("loss", "label_smoothing", "uncertain")


@dataclass(frozen=True)
class Space:
    """What one key is drawn from. Choices are drawn by their place, because Optuna takes no mappings."""

    distribution: Any
    choices: tuple[Any, ...] | None = None

    @property
    def drawn(self) -> Sequence[Any]:
        """All that can be drawn, of a range its ends."""
        if self.choices is None:
            return self.distribution.low, self.distribution.high
        return range(len(self.choices))

    def written(self, drawn: Any) -> Any:
        """The drawn value as a study file has it."""
        return drawn if self.choices is None else self.choices[drawn]


def spaces_of(study: Study) -> dict[str, Space]:
    """What each key of `search` is drawn from; raises `WrongRequest` where it cannot be searched. Touches no data."""
    spaces = {key: _space(key, written) for key, written in study.train.search.items()}
    if not spaces:
        example = "{optimiser.lr: {low: 1.0e-4, high: 1.0e-2, log: true}}"
        raise WrongRequest(f"train.search is empty: name what to search, for example {example}")
    spaces = {key: _whole_where_it_must(study, key, spaces) for key in spaces}
    for key in spaces:
        _refuse_senseless(study, key, spaces)
    return spaces


def _refuse_senseless(study: Study, key: str, spaces: dict[str, Space]) -> None:
    """Raise `WrongRequest` where settings could not be compared or made, or would all train the same."""
    if key in ("early_stop", "early_stop.watch"):
        raise WrongRequest(f"train.search: {key}: what settings are compared by cannot be searched itself")
    if key.split(".")[0] in CHANGE_THE_LOSS and watched(study) == "val_loss":
        raise WrongRequest(
            f"train.search: {key} changes what a validation loss of 1 means, so that the best cannot be told by it; "
            "set train.early_stop: {watch: auroc}"
        )
    arm, first = baseline(study), _first_of_all(spaces)
    tried = [with_settings(study, first | {key: spaces[key].written(one)}).arm(arm)[1] for one in spaces[key].drawn]
    for train in tried:
        forbid_misfits(train)
    if len(tried) > 1 and all(train == tried[0] for train in tried):
        raise WrongRequest(f"train.search: {key}: the arm {arm}, by which settings are judged, sets it itself")


def with_settings(study: Study, settings: dict[str, Any]) -> Study:
    """The study with dotted keys of `train` set, a part before its options; raises `WrongRequest` when it is not valid
    then."""
    written = as_yaml(study)
    for key in sorted(settings, key=lambda key: (key.count("."), not key.endswith(".name"))):
        name, *inside = key.split(".")
        value = settings[key]
        for inner in reversed(inside):
            value = {inner: value}
        written["train"][name] = merged(written["train"], {name: value})[name] if inside else value
    changed = parse_study(written, "tune")
    check_parts(changed)
    return changed


def baseline(study: Study) -> str:
    """The arm by which settings are judged."""
    return study.evaluate.baseline or next(iter(study.arms))


def watched(study: Study) -> str:
    """What a setting is judged by: what the judged arm, which may have its own, chooses its epoch by."""
    stop = study.arm(baseline(study))[1].early_stop
    return f"val_{stop.watch}" if stop else "val_loss"


def _space(key: str, written: Any) -> Space:
    """`{low, high, log}` or a list of choices."""
    if isinstance(written, list) and written:
        return Space(optuna.distributions.CategoricalDistribution(range(len(written))), tuple(written))
    if isinstance(written, dict) and {"low", "high"} <= set(written) <= {"low", "high", "log"}:
        low, high, log = _number(written["low"]), _number(written["high"]), bool(written.get("log", False))
        if -math.inf < low < high < math.inf and not (log and low <= 0):
            return Space(optuna.distributions.FloatDistribution(low, high, log=log))
    raise WrongRequest(
        f"train.search: {key}: {written!r} is neither a list of choices nor {{low, high, log}} with low < high"
    )


def _number(written: Any) -> float:
    """NaN for what is none; YAML takes 1e-4 for a text, which is one everywhere else in a study file."""
    try:
        return float(written)
    except (TypeError, ValueError):
        return math.nan


def _whole_where_it_must(study: Study, key: str, spaces: Mapping[str, Space]) -> Space:
    """The range between two whole numbers in whole numbers, where the key takes no others."""
    space = spaces[key]
    if space.choices is not None or not (space.drawn[0].is_integer() and space.drawn[1].is_integer()):
        return space
    low, high = map(int, space.drawn)
    try:
        with_settings(study, _first_of_all(spaces) | {key: low + 0.5})
    except WrongRequest:
        return Space(optuna.distributions.IntDistribution(low, high, log=space.distribution.log))
    return space


def _first_of_all(spaces: Mapping[str, Space]) -> dict[str, Any]:
    return {name: space.written(space.drawn[0]) for name, space in spaces.items()}
