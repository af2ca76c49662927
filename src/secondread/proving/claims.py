"""What the bundle's card promises, beside what is found: the difference with its interval, and whether it holds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from secondread.metrics.cases import Cases
from secondread.metrics.claims import FEWEST, Verdict
from secondread.metrics.defended import patients_behind
from secondread.metrics.independent import at_confidence, difference_of_independent
from secondread.metrics.resampling import Resampling
from secondread.metrics.scores import Score
from secondread.models.bundle.card import BundleCard
from secondread.proving.judged import CONFIDENCE

Outcome = Literal["holds", "does not hold", "not shown", "nothing was promised"]


@dataclass(frozen=True)
class Claim:
    """One figure of the card and the same here; difference: here minus promised."""

    metric: str
    row: str
    promised: tuple[float, float, float]
    here: tuple[float, float, float]
    difference: tuple[float, float, float]
    patients: int
    """Here, on the side of the class that the figure rests on."""
    margin: float

    @property
    def few(self) -> bool:
        return self.patients < FEWEST or not all(math.isfinite(one) for one in self.difference)

    @property
    def verdict(self) -> Verdict:
        """Here against the promise."""
        _, low, high = self.difference
        if self.few:
            return "too few cases"
        return "worse" if high < 0 else "better" if low > 0 else "no difference shown"

    @property
    def holds(self) -> bool:
        """Not lower than promised by more than the margin."""
        return not self.few and self.difference[1] > -self.margin

    @property
    def broken(self) -> bool:
        """Lower than promised, and by more than the margin for all that is known."""
        return self.verdict == "worse" and not self.holds

    @property
    def patients_needed(self) -> int | None:
        """Patients on that side that would show it to hold if it is as good here; None where none are enough.

        The limits of what is found here draw near to it with the root of the patients; those of the promise stay.
        """
        own, theirs = self.here[0] - self.here[1], self.promised[2] - self.promised[0]
        if self.margin <= theirs or self.few:
            return None
        return math.ceil(self.patients * own**2 / (self.margin**2 - theirs**2))

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"metric": self.metric, "class": self.row, "patients": self.patients}
        for name in ("promised", "here", "difference"):
            values = [one if math.isfinite(one) else None for one in getattr(self, name)]
            told |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
        return told | {"margin": self.margin, "verdict": self.verdict, "holds": self.holds}


def claims_of(card: BundleCard, scores: Sequence[Score], cases: Cases, drawn: Resampling, margin: float) -> list[Claim]:
    """The claims that do not hang on how frequent a class is, as far as both sides have an interval."""
    promised = {(row["metric"], row["class"]): row for row in card.metrics if row["split"] == "test"}
    here = {(one.metric, one.row): one for one in scores}
    found = []
    for key in asked(card):
        told, own = promised.get(key), here.get(key)
        if told is None or own is None or None in (told["value"], told["low"], told["high"]):
            continue
        written = (told["value"], told["low"], told["high"])
        pair = at_confidence(written, told.get("confidence", CONFIDENCE), CONFIDENCE), (own.value, own.low, own.high)
        # a mean over the classes that happen to be here is not the one that was promised
        behind = 0 if cases.column(own.row) is None and not cases.eligible.all() else patients_behind(cases, own, drawn)
        found.append(Claim(*key, *pair, difference_of_independent(pair[1], pair[0]), behind, margin))
    return found


def asked(card: BundleCard) -> list[tuple[str, str]]:
    """(metric, class): AUROC, sensitivity and specificity; accuracy and predictive values follow prevalence."""
    if card.task == "binary":
        return [(metric, card.classes[1]) for metric in ("auroc", "recall", "specificity")]
    if card.task == "multiclass":
        return [("auroc", "macro"), *(("recall", name) for name in card.classes)]
    return [(metric, name) for name in card.classes for metric in ("auroc", "recall", "specificity")]


def outcome_of(claims: Sequence[Claim]) -> Outcome:
    """Of all claims together: all must hold, so that none needs correction (intersection–union; Berger 1982)."""
    judged = [one for one in claims if not one.few]
    if not claims:
        return "nothing was promised"
    if any(one.broken for one in judged):
        return "does not hold"
    return "holds" if judged and all(one.holds for one in judged) else "not shown"
