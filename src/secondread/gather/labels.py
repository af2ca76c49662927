"""`gather.labels`: classes merged, renamed, dropped or derived; then the task, and the order of the classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from secondread.core.errors import BadData, WrongRequest
from secondread.core.spec import Gather
from secondread.core.tables import NO_LABELS, UNLABELLED, Task
from secondread.gather.found import Found

NEGATIVE = re.compile(
    r"^(normal|no|none|neg|negative|healthy|control|controls|benign|absent|0|false|uninfected|clean"
    r"|no[ _-].*|non[ _-].*|not[ _-].*|nofinding|no_?findings?|no_?tumou?r|normal[ _-].*)$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Labelled:
    """Rows with their final classes: `values` [N, K] in the order of `classes`, one-hot unless multi-label."""

    found: Found
    task: Task
    classes: list[str]
    values: NDArray[np.float32]
    notes: list[str]


def labelled(found: Found, gather: Gather) -> Labelled:
    """Apply `gather.labels`, find the task and order the classes; raises `WrongRequest` or `BadData`."""
    found = merged(found, {name: _as_list(old) for name, old in gather.labels.items()}) if gather.labels else found
    found = _of_one_spelling(found)
    if found.classes == [UNLABELLED]:
        return Labelled(
            found, "multilabel", found.classes, found.values, [f"{NO_LABELS}these images can be audited only"]
        )
    task = _task(found, gather.task)
    if not found.classes or (len(found.classes) < 2 and found.exclusive):
        raise BadData(f"only one class was found ({', '.join(found.classes) or 'none'}); a classifier needs two")
    if gather.positive is not None and task != "binary":
        raise WrongRequest(
            f"gather.positive: one of two classes is the positive one, but the task is {task} "
            f"({', '.join(found.classes[:8])}); leave it out, or merge classes with gather.labels"
        )
    if task == "multilabel":
        return Labelled(found, task, found.classes, found.values, [_task_note(found, task)])
    if not found.exclusive:
        found = _as_exclusive(found)
    order = _ordered(found.classes, task, gather.positive)
    columns = [found.classes.index(name) for name in order]
    return Labelled(found, task, order, found.values[:, columns], [_task_note(found, task), _order_note(order, task)])


def _of_one_spelling(found: Found) -> Found:
    """Classes that differ in capitals, spaces or the coding of letters only are one, called as most images have it."""
    alike: dict[str, list[str]] = {}
    for name in found.classes:
        alike.setdefault(" ".join(unicodedata.normalize("NFC", name).split()).casefold(), []).append(name)
    count = dict(zip(found.classes, (found.values == 1.0).sum(axis=0), strict=True))
    twice = {max(names, key=lambda name: count[name]): names for names in alike.values() if len(names) > 1}
    return merged(found, twice) if twice else found


def merged(found: Found, wanted: Mapping[str, Sequence[str]]) -> Found:
    """New classes from old ones; an old class in two new ones makes the result multi-label (a hierarchy).

    Old classes that are not named stay; an empty list drops a class: its rows too where classes exclude each other.
    """
    known = set(found.classes)
    named = {old for parts in wanted.values() for old in parts} | {new for new, parts in wanted.items() if not parts}
    for new, parts in wanted.items():
        if parts and not known & set(parts):
            raise WrongRequest(f"gather.labels: {new}: no class {', '.join(parts)}. Found: {', '.join(found.classes)}")
        if parts and new in known - named:  # its own images would be lost without a word
            raise WrongRequest(
                f"gather.labels: {new} is already a class of its own. To add to it write {new}: "
                f"[{', '.join([new, *parts])}]; else choose another name"
            )
    sources = {name: [name] for name in found.classes if name not in named}
    sources |= {new: [old for old in parts if old in known] for new, parts in wanted.items() if parts}
    columns = [_either(found.values[:, [found.classes.index(old) for old in parts]]) for parts in sources.values()]
    values = np.stack(columns, axis=1) if columns else np.zeros((len(found.rows), 0), np.float32)
    used = [old for parts in sources.values() for old in parts]
    overlapping = len(used) != len(set(used))
    made = replace(found, classes=list(sources), values=values, exclusive=found.exclusive and not overlapping)
    made = replace(made, notes=[*found.notes, *_merge_notes(wanted, found.classes)])
    if not made.exclusive:
        return made
    left = values.sum(axis=1) > 0
    dropped = int((~left).sum())
    return made.keep(left, f"{dropped} images of classes that are left out were not gathered") if dropped else made


def _either(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Present where any is, else uncertain where any is, else absent where any is said to be, else not said."""
    present, doubtful, absent = ((values == told).any(axis=1) for told in (1.0, -1.0, 0.0))
    return np.select([present, doubtful, absent], [1.0, -1.0, 0.0], np.nan).astype(np.float32)


def _task(found: Found, asked: Literal["auto", "binary", "multiclass", "multilabel"]) -> Task:
    usual: Task = "multilabel"
    if found.exclusive or len(found.classes) == 1:
        usual = "binary" if len(found.classes) <= 2 else "multiclass"
    if asked == "auto":
        return usual
    if asked == "binary" and len(found.classes) > 2:
        raise WrongRequest(
            f"gather.task: binary, but there are {len(found.classes)} classes ({', '.join(found.classes[:8])}); merge "
            "them with gather.labels"
        )
    return "binary" if asked == "multiclass" and usual == "binary" else asked


def _as_exclusive(found: Found) -> Found:
    """One label, or several of which every row has exactly one, as exclusive classes."""
    if len(found.classes) == 1:
        said = np.isin(found.values[:, 0], (0.0, 1.0))
        kept = found.keep(said, *([] if said.all() else [f"{int((~said).sum())} images without a sure label left out"]))
        name = found.classes[0]
        values = np.concatenate([1.0 - kept.values, kept.values], axis=1).astype(np.float32)
        return replace(kept, classes=[f"no {name}", name], values=values, exclusive=True)
    if not ((found.values == 1.0).sum(axis=1) == 1).all():
        raise WrongRequest(
            "gather.task asks for exclusive classes, but some images have several labels or none: use task: "
            "multilabel, or derive classes with gather.labels"
        )
    return replace(found, values=(found.values == 1.0).astype(np.float32), exclusive=True)


def _ordered(classes: Sequence[str], task: Task, positive: str | None) -> list[str]:
    """Two classes as [negative, positive]; of more, those that sound negative first, then by name."""
    if positive is not None:
        if positive not in classes:
            raise WrongRequest(f"gather.positive: no class {positive!r}. Found: {', '.join(classes)}")
        if task == "binary":
            return [*(name for name in classes if name != positive), positive]
    return sorted(classes, key=lambda name: (NEGATIVE.match(name) is None, name))


def _task_note(found: Found, task: Task) -> str:
    how = {"binary": "two exclusive classes", "multiclass": "exclusive classes", "multilabel": "any number of labels"}
    return f"task: {task} ({how[task]} per image): {', '.join(found.classes)}"


def _order_note(order: Sequence[str], task: Task) -> str:
    return (
        f"positive class: {order[1]} (set gather.positive to change it)"
        if task == "binary"
        else f"order of classes: {', '.join(order)}"
    )


def _as_list(old: str | list[str]) -> list[str]:
    return [old] if isinstance(old, str) else old


def _merge_notes(wanted: Mapping[str, Sequence[str]], known: Sequence[str]) -> list[str]:
    """What became of the classes, and which were named without being there: allowed, yet it may be a misspelling."""
    told = {new: [old for old in parts if old in known] for new, parts in wanted.items()}
    said = [f"{new} = {' or '.join(parts)}" if parts else f"{new} left out" for new, parts in told.items()
            if parts or new in known]  # fmt: skip
    absent = sorted({old for new, parts in wanted.items() for old in (parts or [new])} - set(known))
    notes = ["classes: " + "; ".join(said)] if said else []
    return notes + ([f"gather.labels names what is no class here: {', '.join(absent)}"] if absent else [])


def texts_for_nothing(gather: Gather, classes: Sequence[str]) -> list[str]:
    """A note on the names in `gather.classes` that no class has: their texts would be shown to nobody."""
    absent = [name for name in gather.classes if name not in classes]
    return [f"gather.classes names what is no class here: {', '.join(absent)}"] if absent else []
