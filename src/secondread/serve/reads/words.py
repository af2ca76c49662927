"""A reading in words: the verdict first, then the numbers. The page, the PDF and the DICOM report share it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from secondread.serve.bundles.models import BundleProof
from secondread.serve.reads.models import Read, State

ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
TONES = {
    State.READ: "clear",
    State.UNCERTAIN: "unsure",
    State.REFUSED: "refused",
    State.FAILED: "failed",
    State.QUEUED: "waiting",
    State.RUNNING: "waiting",
}


NAMED = 4
"""Findings in a headline; the sentence under it names all."""


@dataclass(frozen=True)
class Bar:
    """One class: calibrated probability, where it is decided and where it is uncertain, all 0..1."""

    name: str
    probability: float
    threshold: float | None
    band: tuple[float, float] | None
    decided: bool
    text: str
    doubtful: bool = False
    """Whether it is what makes the read uncertain."""

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
        return Verdict(_unsure_headline(bars), _unsure_sentence(bars), tone, bars, texts)
    return Verdict(_headline(decided, card), _reasons(decided, bars, card), tone, bars, texts)


def mapped_class(read: Read) -> str:
    """The class whose attention map stands in reports: the first decided one, else the most probable."""
    chances: dict[str, float] = (read.result or {})["probabilities"]
    return read.decided[0] if read.decided else max(chances, key=lambda name: chances[name])


def about_map(read: Read) -> str:
    """What is said under an attention map."""
    return f"Attention map of {spoken(mapped_class(read))}: shows what moved the score, not lesion borders."


def engine(read: Read) -> str:
    """What ran the model, with its version."""
    made = (read.result or {}).get("made_with", {})
    return " and ".join(f"{name} {made[key]}" for key, name in ENGINES.items() if key in made)


def warnings(read: Read) -> list[str]:
    """What stands on the card to be told with every reading, and whether the image was decoded as those of training."""
    card, decoder = read.bundle.card, (read.result or {}).get("made_with", {}).get("decoder")
    told, trained = list(card.get("banners", [])), card.get("decoder")
    told += [
        proof.warning
        for proof in BundleProof.objects.filter(bundle=read.bundle_id).select_related("bundle")
        if proof.broken
    ]
    if decoder and trained and decoder != trained:
        told.append(
            f"This image was decoded by version {decoder} of the decoder, those that the model learned from by version "
            f"{trained}: the reading may differ from what the model was tested with."
        )
    return told


def percent(share: float, digits: int = 0) -> str:
    """A probability as people read it; never 0 % or 100 %, which no model can know."""
    edge = 0.01 / 10**digits
    if share < edge:
        return f"<\u00a0{100 * edge:.{digits}f}\u00a0%"
    if share > 1 - edge:
        return f">\u00a0{100 * (1 - edge):.{digits}f}\u00a0%"
    return f"{100 * share:.{digits}f}\u00a0%"


def below(share: float, limit: float) -> tuple[str, str]:
    """A probability and what it lies below, with as many digits as it takes to see that."""
    digits = next((some for some in range(5) if percent(share, some) != percent(limit, some)), 5)
    return percent(share, digits), percent(limit, digits)


def spoken(name: str) -> str:
    """A class as a word of a sentence."""
    return name.replace("_", " ")


def _bars(read: Read, card: dict[str, Any]) -> list[Bar]:
    result = read.result or {}
    decided = read.decided
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
                doubtful=read.state == State.UNCERTAIN and _in_doubt(probability, band, name in decided, card["task"]),
            )
        )
    return sorted(bars, key=lambda bar: (-bar.probability, not bar.decided))


def _headline(decided: list[Bar], card: dict[str, Any]) -> str:
    if not decided:
        return "No finding"
    names = [bar.name for bar in decided]
    return _capital(names[0]) if len(names) == 1 else f"{len(names)} findings: {_first(names)}"


def _reasons(decided: list[Bar], bars: list[Bar], card: dict[str, Any]) -> str:
    if card["task"] == "multilabel":
        if not decided:
            return "None of the findings this model looks for reaches its threshold."
        return _above(decided[0]) if len(decided) == 1 else f"{_which(decided)} reaches its threshold."
    bar = decided[0]
    if card["task"] == "binary":
        other = next(found for found in bars if not found.decided)
        return _above(bar) if bar.threshold is not None else _below(other)
    return _most_probable(bar, bars) if bar is bars[0] else _outweighs(bar, bars[0])


def _most_probable(bar: Bar, bars: list[Bar]) -> str:
    likely = f"The most probable of {len(bars)} classes, at {bar.percent}"
    return f"{likely}; the next is {bars[1].name} at {bars[1].percent}."


def _outweighs(bar: Bar, first: Bar) -> str:
    """Of exclusive classes the largest share of the own threshold decides, not the largest probability."""
    return (
        f"{_capital(bar.name)} has {bar.percent}. {_capital(first.name)} is more probable, at {first.percent}, but the "
        "thresholds of the classes differ, and measured by them the first is ahead."
    )


def _above(bar: Bar) -> str:
    reached = f", which reaches the threshold of {percent(bar.threshold)}" if bar.threshold is not None else ""
    return f"The probability of {bar.name} is {bar.percent}{reached}."


def _below(bar: Bar) -> str:
    if bar.threshold is None:
        return f"The probability of {bar.name} is {bar.percent}."
    chance, threshold = below(bar.probability, bar.threshold)
    return f"The probability of {bar.name} is {chance}, below the threshold of {threshold}."


def _unsure_headline(bars: list[Bar]) -> str:
    doubtful = [bar.name for bar in bars if bar.doubtful]
    return f"Uncertain: {_first(doubtful)}" if doubtful else "Uncertain"


def _unsure_sentence(bars: list[Bar]) -> str:
    doubts = [(bar.name, *_doubt(bar, bar.band)) for bar in bars if bar.doubtful and bar.band is not None]
    because = "the model was too often wrong on validation images, so it does not decide."
    if len(doubts) == 1:
        name, chance, where = doubts[0]
        return f"The probability of {name} is {chance}, {where}. There {because}"
    each = "; ".join(f"{name} {chance}, {where}" for name, chance, where in doubts)
    return f"The probabilities of {len(doubts)} findings lie where {because} These are {each}."


def _doubt(bar: Bar, band: tuple[float, float]) -> tuple[str, str]:
    """The probability, and the uncertain range that it lies in."""
    if band[0] <= 0.0 or bar.probability < band[0]:
        chance, limit = below(bar.probability, band[1])
        return chance, f"below {limit}"
    return bar.percent, f"between {percent(band[0])} and {percent(band[1])}"


def _in_doubt(probability: float, band: list[float] | None, decided: bool, task: str) -> bool:
    """As the bundle judges: of exclusive classes the decided one, below the upper end of its band."""
    if band is None or not band[0] < band[1] or probability >= band[1]:
        return False
    return decided if task == "multiclass" else probability >= band[0] or (decided and task == "binary")


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


def _which(decided: list[Bar]) -> str:
    """All findings, where the headline names the first of them only: a picture of the words must not hide any."""
    if len(decided) <= NAMED:
        return "Each of them"
    return f"Each of {_listed([bar.name for bar in decided])}"


def _first(names: list[str]) -> str:
    """As many names as a headline holds."""
    return _listed(names if len(names) <= NAMED else [*names[: NAMED - 1], f"{len(names) - NAMED + 1} more"])


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
