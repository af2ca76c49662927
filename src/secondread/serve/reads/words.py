"""A reading in words: the verdict first, then the numbers. The page, the PDF and the DICOM report share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from secondread.serve.reads.models import Read, State

TONES = {
    State.READ: "clear",
    State.UNCERTAIN: "unsure",
    State.REFUSED: "refused",
    State.FAILED: "failed",
    State.QUEUED: "waiting",
    State.RUNNING: "waiting",
}


@dataclass(frozen=True)
class Bar:
    """One class: calibrated probability, where it is decided and where it is uncertain, all 0..1."""

    name: str
    probability: float
    threshold: float | None
    band: tuple[float, float] | None
    decided: bool
    text: str

    @property
    def percent(self) -> str:
        return percent(self.probability)


@dataclass(frozen=True)
class Verdict:
    """What is said about a read. `tone` is clear, unsure, refused, failed or waiting."""

    headline: str
    sentence: str
    tone: str
    bars: list[Bar] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    """(class, explanation) of what was decided."""


def verdict_of(read: Read, card: dict[str, Any]) -> Verdict:
    """The verdict of a read by the bundle with this card."""
    tone = TONES[State(read.state)]
    if read.pending:
        return Verdict("Reading…", "The image waits for its reading. This page shows it as soon as it is there.", tone)
    if read.state == State.FAILED:
        return Verdict("Not read", _sentence(read.reason), tone)
    if read.state == State.REFUSED:
        return Verdict("No reading: unlike what this model knows", _refusal(read, card), tone)
    bars = _bars(read, card)
    decided = [bar for bar in bars if bar.decided]
    texts = [(bar.name, bar.text) for bar in decided if bar.text]
    if read.state == State.UNCERTAIN:
        return Verdict(_unsure_headline(decided, bars), _unsure_sentence(bars), tone, bars, texts)
    return Verdict(_headline(decided, card), _reasons(decided, bars, card), tone, bars, texts)


def percent(share: float) -> str:
    """A probability as people read it; never 0 % or 100 %, which no model can know."""
    if share < 0.01:
        return "<\u00a01\u00a0%"
    return ">\u00a099\u00a0%" if share > 0.99 else f"{100 * share:.0f}\u00a0%"


def spoken(name: str) -> str:
    """A class as a word of a sentence."""
    return name.replace("_", " ")


def _bars(read: Read, card: dict[str, Any]) -> list[Bar]:
    result = read.result or {}
    decided = set(read.decision.split(" | ")) if read.decision else set()
    bars = []
    for name, probability in result.get("probabilities", {}).items():
        band = card["uncertain"].get(name)
        bars.append(
            Bar(
                name=spoken(name),
                probability=probability,
                threshold=card["thresholds"].get(name),
                band=(band[0], band[1]) if band else None,
                decided=name in decided,
                text=card["texts"].get(name, ""),
            )
        )
    return sorted(bars, key=lambda bar: -bar.probability)


def _headline(decided: list[Bar], card: dict[str, Any]) -> str:
    if not decided:
        return "No finding"
    names = [bar.name for bar in decided]
    return _capital(names[0]) if len(names) == 1 else f"{len(names)} findings: {_listed(names)}"


def _reasons(decided: list[Bar], bars: list[Bar], card: dict[str, Any]) -> str:
    if card["task"] == "multilabel":
        if not decided:
            return "None of the findings this model looks for reaches its threshold."
        return "Each of them reaches its threshold." if len(decided) > 1 else _above(decided[0])
    bar = decided[0]
    if card["task"] == "binary":
        other = next(found for found in bars if not found.decided)
        return _above(bar) if bar.threshold is not None else _below(other)
    second = next((found for found in bars if not found.decided), None)
    likely = f"The most probable of {len(bars)} classes, at {bar.percent}"
    return f"{likely}; the next is {second.name} at {second.percent}." if second else f"{likely}."


def _above(bar: Bar) -> str:
    reached = f", which reaches the threshold of {percent(bar.threshold)}" if bar.threshold is not None else ""
    return f"The probability of {bar.name} is {bar.percent}{reached}."


def _below(bar: Bar) -> str:
    under = f", below the threshold of {percent(bar.threshold)}" if bar.threshold is not None else ""
    return f"The probability of {bar.name} is {bar.percent}{under}."


def _unsure_headline(decided: list[Bar], bars: list[Bar]) -> str:
    doubtful = [bar.name for bar in bars if _in_band(bar)]
    return f"Uncertain: {_listed(doubtful)}" if doubtful else "Uncertain"


def _unsure_sentence(bars: list[Bar]) -> str:
    said = [
        f"{bar.name} has {bar.percent}, between {percent(bar.band[0])} and {percent(bar.band[1])}"
        for bar in bars
        if bar.band is not None and _in_band(bar)
    ]
    between = _capital("; ".join(said))
    return f"{between}. In this range the model was too often wrong on validation images, so it does not decide."


def _in_band(bar: Bar) -> bool:
    return bar.band is not None and bar.band[0] <= bar.probability < bar.band[1]


def _refusal(read: Read, card: dict[str, Any]) -> str:
    distance = (read.result or {}).get("gate_distance")
    if distance is None:
        return _sentence(read.reason)
    about = card.get("about") or f"images like those of the study {card['study']}"
    return (
        f"The image lies {distance:.1f} times as far from the training images as this model accepts. "
        f"It reads only: {about.rstrip('.')}."
    )


def _sentence(text: str) -> str:
    text = text.strip()
    return _capital(text) + ("" if text.endswith(".") or not text else ".")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
