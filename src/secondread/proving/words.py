"""The proof in sentences: whether the promise holds, what was read, what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from secondread.models.bundle import Bundle
from secondread.pages.blocks import Banner
from secondread.pages.numbers import Number, count, metric_word
from secondread.pages.sentences import Sentence, Setting, listed
from secondread.pages.tables import Name
from secondread.proving.claims import Claim, Outcome, asked
from secondread.proving.judged import Judged

UNKNOWN_PAST = (
    "This bundle does not say what it was fitted on (it was exported by an earlier version): that none of these images "
    "was among them is for you to know. Export it again to have this looked at."
)


def banners(bundle: Bundle, judged: Judged) -> list[Banner]:
    """What the study's own report begins with, what these images add to it, and what cannot be known."""
    found = [Banner(*_split(text)) for text in bundle.card.banners]
    found += [
        Banner("SHORTCUT HERE", _capital(text.removeprefix("SHORTCUT: ")))
        for text in judged.unseen.audit.get("banners", [])
    ]
    if bundle.seen is None:
        found.append(Banner("PAST UNKNOWN", UNKNOWN_PAST, stop=False))
    return found


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _split(text: str) -> tuple[str, str]:
    title, _, rest = text.partition(": ")
    return (f"THE STUDY SAYS {title}", rest) if rest else ("THE STUDY SAYS", text)


def sentences(outcome: Outcome, claims: Sequence[Claim], judged: Judged, margin: float) -> list[Sentence]:
    made = {"holds": _holds, "does not hold": _broken, "not shown": _open, "nothing was promised": _nothing}
    return [made[outcome](claims, judged, margin), _read(judged), _certainty(judged), *_left_out(judged)]


def _holds(claims: Sequence[Claim], judged: Judged, margin: float) -> Sentence:
    kept = [one for one in claims if not one.few]
    pieces: list[Any] = ["By all that is known ", *listed(_named(one, judged) for one in kept)]
    pieces += [" here are not lower than promised by more than ", Setting(f"{margin:g}"), "."]
    return Sentence("It holds.", [*pieces, *_uncounted(claims, judged)], "good")


def _broken(claims: Sequence[Claim], judged: Judged, margin: float) -> Sentence:
    pieces: list[Any] = []
    for one in (claim for claim in claims if claim.broken):
        pieces += ["; " if pieces else "", *_beside(one, judged)]
    return Sentence("It does not hold.", [*pieces, "."], "warning")


def _open(claims: Sequence[Claim], judged: Judged, margin: float) -> Sentence:
    open_ = [one for one in claims if not one.few and not one.holds]
    if not open_:
        return Sentence("Not shown.", ["There are too few cases of the classes to say anything."], "warning")
    pieces: list[Any] = ["A loss of more than ", Setting(f"{margin:g}"), " is neither shown nor ruled out: "]
    told: list[Any] = []
    for one in open_:
        told += ["; " if told else "", _named(one, judged), " may be lower by ", Number(-one.difference[1])]
    return Sentence("Not shown.", [*pieces, *told, *_needed(open_), *_uncounted(claims, judged)], "warning")


def _needed(claims: Sequence[Claim]) -> list[Any]:
    """How many patients would show it, where any number would."""
    if any(one.patients_needed is None for one in claims):
        return [". The scores on the card are not known exactly enough themselves for any number of images to show it."]
    most = max(claims, key=lambda one: one.patients_needed or 0)
    needed, there = count(most.patients_needed or 0), count(most.patients)
    return [". If it is as good here, about ", needed, " patients on the side with ", there, " would show it."]


def _nothing(claims: Sequence[Claim], judged: Judged, margin: float) -> Sentence:
    told = "The card gives no test scores with intervals to hold these images against."
    return Sentence("Nothing was promised.", [told], "warning")


def _beside(one: Claim, judged: Judged) -> list[Any]:
    here, promised, apart = (
        [Number(values[0], signed=signed), " (", Number(values[1], signed=signed), " to ",
         Number(values[2], signed=signed), ")"]
        for values, signed in ((one.here, False), (one.promised, False), (one.difference, True))
    )  # fmt: skip
    return [_named(one, judged), " is ", *here, " where ", *promised, " was promised, a difference of ", *apart]


def _named(one: Claim, judged: Judged) -> str:
    alone = judged.card.task == "binary" or one.row == "macro"
    return metric_word(one.metric) if alone else f"{metric_word(one.metric)} of {one.row}"


def _uncounted(claims: Sequence[Claim], judged: Judged) -> list[Any]:
    """Figures that could not be judged, so that silence about them is not taken for consent."""
    told = {(one.metric, one.row) for one in claims if not one.few}
    left = len([key for key in asked(judged.card) if key not in told])
    what = "figure" if left == 1 else "figures"
    return [" ", count(left), f" further {what} could not be judged: see the table."] if left else []


def _read(judged: Judged) -> Sentence:
    cases, unseen = judged.cases, judged.unseen
    pieces: list[Any] = [count(cases.n), " images"]
    if unseen.dataset.patient_rule:
        pieces += [" of ", count(judged.drawn.patients), " patients"]
    pieces.append(": ")
    for at, name in enumerate(judged.card.classes):
        pieces += [", " if at else "", Name(name), " ", count(float(cases.positives[at]))]
    return Sentence("Proven on.", [*pieces, "."])


def _certainty(judged: Judged) -> Sentence:
    n, pieces = judged.cases.n, []
    for at, (name, member) in enumerate(judged.certainty()):
        pieces += ["; " if at else "", Number(100 * float(member.mean()), 1), f" % {name}"]
    lead = "What it would do with them."
    refused = float((judged.readings["status"] == "refused").mean())
    tone = "warning" if n and refused > 0.1 else "plain"
    return Sentence(lead, [*pieces, ". Scores count all images, as those of the card do."], tone)


def _left_out(judged: Judged) -> list[Sentence]:
    told = [(reason, number) for reason, number in judged.unseen.left_out.items() if number]
    if not told:
        return []
    pieces: list[Any] = []
    for at, (reason, number) in enumerate(told):
        pieces += ["; " if at else "", count(number), f" that {reason}"]
    return [Sentence("Left out.", [*pieces, "."])]
