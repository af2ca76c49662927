"""What the folders above an image stand for: its class, and above or below that a site, a patient, a view.

Two levels of folders of which each of the upper holds the same lower ones may be sites above classes or classes above
views. Names tell them apart (`normal`, `hospital_2`, `lateral`); where they do not, the study has to.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import pandas as pd

from secondread.core.errors import BadData, WrongRequest
from secondread.gather.files import IMAGE_FOLDERS, SPLIT_FOLDERS
from secondread.gather.found import MOST_CLASSES
from secondread.gather.labels import NEGATIVE

Role = Literal["class", "site", "patient", "view", "other"]
NEUTRAL = {*SPLIT_FOLDERS, *IMAGE_FOLDERS}
_NUMBER = r"(?:[ _-].*|\d+|[A-Z])?"
SITE = re.compile(
    rf"(?:(?:site|hospital|clinic|cent(?:er|re)|institut(?:e|ion)|batch|cohort|scanner|vendor|source|dataset){_NUMBER}"
    r"|.*[ _-](?:site|hospital|clinic|cent(?:er|re)|institute|batch|cohort|scanner))",
    re.IGNORECASE,
)
PILE = re.compile(rf"(?:fold|part|subset|set|split|chunk|volume|disc|disk){_NUMBER}", re.IGNORECASE)
"""Parts of a collection that was cut up to be stored or validated: nothing about the image."""
PATIENT = re.compile(r"(?:patient|subject|subj|sub)[-_ ]?\d+", re.IGNORECASE)
VIEW = re.compile(
    r"ap|pa|lat|lateral|frontal|axial|coronal|sagittal|left|right|[lr]|[lr]?(?:cc|mlo)|t1\w*|t2\w*|flair|dwi|adc",
    re.IGNORECASE,
)
GRADE = re.compile(r"(?:class|grade|stage|level|type|score|kl|bi-?rads|pi-?rads|label)", re.IGNORECASE)
MOST_SITES = 20
"""More folders that hold the same ones are rather patients."""


@dataclass(frozen=True)
class Levels:
    """The class of each image, or why there is none; where folders say so, its site, patient and view."""

    labels: list[str] | None
    facts: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    why: str = ""

    def told(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows with what the folders say of them."""
        return rows.assign(**self.facts)


def levels_of(paths: Sequence[str], roles: Sequence[Role] | None) -> Levels:
    """What folders mean: as the study says, else as they are called. Raises `BadData` where they lack a named one."""
    return _as_told(paths, roles) if roles else recognised_levels(paths)


def recognised_levels(paths: Sequence[str]) -> Levels:
    """The class is the first folder that is no split, no `images`, not the same for all and no site.

    A folder that repeats the class folders beside it, as archives unpacked twice have it, is looked into.
    """
    folders, made = _apart([named_folders(path) for path in paths]), Levels(None)
    above: list[list[str]] = [[] for _ in paths]
    while True:  # sites may hold batches that hold classes
        while copies := _repeating(folders):
            made = replace(made, notes=[*made.notes, f"folders that repeat the class folders beside them were looked "
                                        f"into: {', '.join(sorted(copies))}"])  # fmt: skip
            folders = [names[1:] if names[0] in copies else names for names in folders]
        meant, why = _meaning(_Two.of(folders))
        if why:
            return replace(made, why=why)
        if meant == "class":
            break
        made = replace(made, notes=[*made.notes, _upper_note(folders, meant)])
        if meant == "site":
            above = [[*names, own[0]] for names, own in zip(above, folders, strict=True)]
        folders = _apart([names[1:] for names in folders])
    if not folders or not all(folders):
        return made
    labels = [names[0] for names in folders]
    facts = {"site": ["/".join(names) for names in above]} if above[0] else {}
    most = min(MOST_CLASSES, max(2, len(paths) // 2))
    return replace(made, labels=labels, facts=facts) if len(set(labels)) <= most else made


def _as_told(paths: Sequence[str], roles: Sequence[Role]) -> Levels:
    """The folders counted from the root, those of splits and `images` left out."""
    folders = [named_folders(path) for path in paths]
    short = next((path for path, names in zip(paths, folders, strict=True) if len(names) < len(roles)), None)
    if short is not None:
        raise BadData(
            f"folders: [{', '.join(roles)}] names {len(roles)} folders above each image, but {short} has fewer (those "
            "of splits and `images` do not count)"
        )
    by_role: dict[str, list[str]] = {
        role: [names[roles.index(role)] for names in folders] for role in roles if role != "other"
    }
    labels = by_role.pop("class")
    if "patient" in by_role and "site" in by_role:  # numbers begin anew in each hospital
        pairs = zip(by_role["site"], by_role["patient"], strict=True)
        by_role["patient"] = [f"{site}/{patient}" for site, patient in pairs]
    return Levels(labels, by_role, [f"folders: {' / '.join(roles)}, as the study says"])


def need_class(folders: Sequence[Role] | None = None) -> None:
    """Raises `WrongRequest` unless one of the folders is the class, and none but `other` stands twice."""
    if folders is None:
        return
    named = [role for role in folders if role != "other"]
    if "class" not in named or len(set(named)) < len(named):
        raise WrongRequest("folders: name what each folder above the images is, `class` once, such as [site, class]")


def named_folders(path: str) -> list[str]:
    """The folders of a path that are no split and no `images`."""
    return [name for name in path.split("/")[:-1] if name.lower() not in NEUTRAL]


def _apart(folders: list[list[str]]) -> list[list[str]]:
    """Folders without what all of them begin with; one is left."""
    while folders and all(folders) and len({names[0] for names in folders}) == 1 and all(len(f) > 1 for f in folders):
        folders = [names[1:] for names in folders]
    return folders


def _repeating(folders: Sequence[Sequence[str]]) -> set[str]:
    """First folders in which nothing lies but folders called as those beside them."""
    inside: dict[str, set[str | None]] = {}
    for first, *further in filter(None, folders):
        inside.setdefault(first, set()).add(further[0] if further else None)
    return {first for first, names in inside.items() if first not in names and names <= inside.keys()}


@dataclass(frozen=True)
class _Two:
    """Two levels of folders: what lies in each of the upper ones, and whether images lie there too."""

    inside: dict[str, set[str]]
    loose: bool

    @classmethod
    def of(cls, folders: Sequence[Sequence[str]]) -> _Two:
        inside: dict[str, set[str]] = {names[0]: set() for names in folders if names}
        for names in folders:
            if len(names) > 1:
                inside[names[0]].add(_plain(names[1]))
        return cls(inside, not all(len(names) > 1 for names in folders))

    @cached_property
    def inner(self) -> set[str]:
        return set().union(*self.inside.values())

    @cached_property
    def shared(self) -> set[str]:
        """Lower folders that lie in several upper ones."""
        counts = Counter(name for held in self.inside.values() for name in held)
        return {name for name, count in counts.items() if count > 1}

    @property
    def crossed(self) -> bool:
        """Whether the lower ones could be classes, met in several of the upper ones."""
        return not self.loose and len(self.inner) > 1 and bool(self.shared)


def _meaning(two: _Two) -> tuple[Role, str]:
    """What the upper folders stand for, or why that cannot be told."""
    if len(two.inside) < 2:
        return "class", ""
    named = next((role for pattern, role in _ABOVE if all(pattern.fullmatch(name) for name in two.inside)), None)
    if named is not None and (two.crossed or named == "patient" or len(two.inner) > 1):
        return (named, "") if two.crossed else ("class", _unclear(two, named))
    if not two.crossed:
        return "class", ""
    below, above = any(map(_negative, two.shared)), any(map(_negative, two.inside))
    if not all(held == two.inner for held in two.inside.values()):
        return "class", _unclear(two) if below and not above else ""
    above |= all(VIEW.fullmatch(name) for name in two.inner)
    above |= _numbered(two.inner) and not _numbered(two.inside) and not all(GRADE.match(name) for name in two.inner)
    below &= not _numbered(two.inside) and len(two.inside) <= MOST_SITES
    if above == below:
        return "class", _unclear(two)
    return ("class" if above else "site"), ""


_ABOVE: tuple[tuple[re.Pattern[str], Role], ...] = ((PATIENT, "patient"), (SITE, "site"), (PILE, "other"))
_CALLED = {"site": "sites", "patient": "patients", "other": "parts of the collection"}


def _negative(name: str) -> bool:
    return not name.isdecimal() and NEGATIVE.match(name) is not None


def _numbered(names: set[str] | dict[str, set[str]]) -> bool:
    """Whether names differ in their numbers only: `p1`, `p2`; `40X`, `100X`."""
    return len({re.sub(r"\d+", "#", name.casefold()) for name in names}) == 1


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _unclear(two: _Two, named: Role | None = None) -> str:
    if named is None:
        what = f"hold others of the same names ({_few(two.inner)}), so that either may be the classes"
    else:
        what = f"are called like {_CALLED[named]}, and not all of them hold class folders"
    return (
        f"the folders {_few(two.inside)} {what}: say what they are in gather.source (class_folders, dicom), such as "
        "folders: [site, class], [patient, class] or [class]"
    )


def _upper_note(folders: Sequence[Sequence[str]], meant: Role) -> str:
    upper, lower = {names[0] for names in folders}, {names[1] for names in folders}
    return (
        f"the folders {_few(upper)} are taken for {_CALLED[meant]}, those in them ({_few(lower)}), of the same names, "
        "for the classes; were it otherwise, gather.source: {…, folders: [class]}"
    )


def _few(names: set[str] | dict[str, set[str]]) -> str:
    told = sorted(names)
    return ", ".join(told) if len(told) <= 4 else f"{', '.join(told[:3])} and {len(told) - 3} more"
