"""What a reader must know before believing a score: guessing might give it, few cases or draws stand behind it."""

from __future__ import annotations

import math

from secondread.evaluate.lookup import Lookup
from secondread.evaluate.record import Record
from secondread.metrics.cases import MIN_CASES
from secondread.pages.numbers import metric_word
from secondread.pages.sentences import Piece, Sentence, Setting
from secondread.pages.tables import Name

CHANCE = 0.5
"""The AUROC of guessing, in every task."""


def cautions(record: Record) -> list[Sentence]:
    """As far as there is reason for them."""
    look = Lookup.of(record)
    return [*_chance(record, look), *_few_cases(record, look), *_few_draws(record, look)]


def _chance(record: Record, look: Lookup) -> list[Sentence]:
    """The picked recipe may be no better than guessing; said of the AUROC alone, whose chance level is known."""
    at = record.picked
    found = look.interval(at["arm"], at["model"], "test", look.primary)
    if look.primary != "auroc" or found is None or not found.bounded or found.low.value > CHANCE:
        return []
    pieces: list[Piece | Setting] = [
        "Guessing gives an AUROC of ",
        Setting(f"{CHANCE:g}"),
        ", and the interval on test",
    ]
    pieces += [" does not lie above it: nothing shows that the picked network learned anything."]
    return [Sentence("No skill is shown.", pieces, "warning")]


def _few_cases(record: Record, look: Lookup) -> list[Sentence]:
    """Classes with few test cases; the means over labels leave such labels out anyway, and say so."""
    if record.task == "multilabel":
        return []
    counted = {name: look.cohort("test", "positives", name) for name in record.classes}
    few = [(name, number) for name, number in counted.items() if 0 < number.value < MIN_CASES]
    if not few:
        return []
    pieces: list[Piece | Setting] = []
    for name, number in few:
        pieces += [", of " if pieces else "Test images of ", Name(name), ": ", number]
    return [Sentence("Few cases.", [*pieces, "; a single decision moves their rates visibly."], "warning")]


def _few_draws(record: Record, look: Lookup) -> list[Sentence]:
    """No p of a bootstrap is smaller than its draws allow; corrected for many comparisons it may never count."""
    rows, settings = look.verdicts(look.primary), record.study.evaluate
    drawn = rows[rows["method"].str.startswith("paired bootstrap")]
    least = len(rows) / settings.level
    if drawn.empty or settings.bootstrap + 1 > least:
        return []
    told: list[Piece | Setting] = ["With ", Setting(str(settings.bootstrap)), " bootstrap draws no difference in "]
    told += [metric_word(look.primary), " can be shown"]
    told += [" after correction for ", Setting(str(len(rows))), " comparisons"] if len(rows) > 1 else []
    told += [": set evaluate.bootstrap to ", Setting(str(math.ceil(least))), " at the least."]
    return [Sentence("Too few draws.", told, "warning")]
