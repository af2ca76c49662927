"""From a folder to a study file that says why."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from itertools import groupby
from pathlib import Path

import yaml

from secondread.core.errors import WrongRequest
from secondread.core.files import write_text
from secondread.core.progress import say
from secondread.core.spec import Study
from secondread.core.studyfile import check_parts, parse_study
from secondread.core.version import __version__
from secondread.planning.budget import Budget, Pace, budget, folds_of, spent
from secondread.planning.rules import Choice, arms, choices, forbid_too_few, without_folds
from secondread.planning.seen import Seen, seen_in
from secondread.prepare.material import many

WIDTH = 116


@dataclass(frozen=True)
class Plan:
    """A study with the reasons for it; in a notebook it shows itself."""

    seen: Seen
    choices: list[Choice]
    budget: Budget

    @property
    def study(self) -> Study:
        made = parse_study(yaml.safe_load(self.text), "plan")
        check_parts(made)
        return made

    @property
    def text(self) -> str:
        """The study file."""
        order = ("gather", "prepare", "train", "arms", "evaluate", "export")
        ordered = sorted(self.choices, key=lambda one: order.index(one.key.split(".")[0]))
        lines = [*_heading(self.seen, self.budget), f"study: {self.seen.name}"]
        for section, of_it in groupby(ordered, key=lambda one: one.key.split(".", 1)[0]):
            lines.append(f"{section}:")
            for choice in of_it:
                lines += [*_comment(choice.why, "  "), f"  {_flow(choice)}"]
        return "\n".join(lines) + "\n"

    def write(self, path: Path) -> Path:
        """Raises `WrongRequest` where a file is: what somebody changed in a plan is not written over."""
        forbid_overwriting(path)
        write_text(path, self.text)
        return path

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


def forbid_overwriting(path: Path) -> None:
    if path.exists():
        raise WrongRequest(f"{path} is there already: name another file with --out, or remove it")


def plan(data: Path, minutes: float) -> Plan:
    """Look at the data, measure the machine, and choose. Raises `BadData` for what cannot be learned from."""
    seen = seen_in(data)
    forbid_too_few(seen)
    made = choices(seen)
    compared = arms(seen)
    from secondread.planning.pace import images_per_second  # brings PyTorch

    say("measuring how fast this machine trains")
    at = next(at for at, one in enumerate(made) if one.key == "prepare.split")
    made[at], found = split_in_time(seen, made[at], len(compared), minutes, images_per_second)
    made += spent(found, seen, made[at])
    made += [Choice(f"arms.{name}", dict(settings), why) for name, (settings, why) in compared.items()]
    return Plan(seen, made, found)


def split_in_time(seen: Seen, split: Choice, arms: int, minutes: float, pace: Pace) -> tuple[Choice, Budget]:
    """The split and what is trained on it; folds that do not fit into the minutes are given up for one test part."""
    found = budget(seen, split, arms, minutes, pace)
    if not found.fits and folds_of(split) > 1:
        once = without_folds(seen, found.minutes, minutes)
        if once is not None:
            return once, budget(seen, once, arms, minutes, pace)
    return split, found


def _heading(seen: Seen, found: Budget) -> list[str]:
    named = "group" if "no_patients" in seen.findings else "patient"
    counts = ", ".join(f"{name} {count} ({many(seen.patients[name], named)})" for name, count in seen.images.items())
    time = f"about {_minutes(found.minutes)} of training on this machine ({found.pace:.0f} images a second, measured)"
    if not found.fits:
        time += f": more than asked for (--minutes {found.given:g}), but with less the networks would hardly learn"
    paragraphs = [
        f"A plan by secondread {__version__}. Every line says why it is so: change what you know better.",
        f"{seen.count} images: {counts}.",
        f"Expected: {time}; then the report says what it came to, with intervals.",
    ]
    return [line for paragraph in paragraphs for line in _comment(paragraph, "")]


def _minutes(minutes: float) -> str:
    if minutes < 1:
        return "a minute"
    return f"{minutes:.0f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"


def _comment(text: str, indent: str) -> list[str]:
    """Lines of a comment; letters that would end one, or that YAML refuses, as class names may hold, are left out."""
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    return textwrap.wrap(text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ",
                         break_long_words=False, break_on_hyphens=False)  # fmt: skip


def _flow(choice: Choice) -> str:
    """`size: 64`: the key as the file has it, on one line."""
    name = choice.key.split(".", 1)[1]
    written: str = yaml.safe_dump({name: choice.value}, default_flow_style=True, sort_keys=False, allow_unicode=True,
                                  width=10**6)  # fmt: skip
    return written.strip().removeprefix("{").removesuffix("}")
