"""What was watched, in words: for the page, and for the command that a machine calls each night."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from secondread.models.bundle.promise import Share
from secondread.serve.operate.timeline import Timeline, timeline
from secondread.serve.operate.watching import Line, Watched

ENOUGH = 100
"""Images from which on silence says something."""


@dataclass(frozen=True)
class Told:
    watched: Watched
    headline: str
    advice: str
    timeline: Timeline | None

    def to_json(self) -> dict[str, Any]:
        """For other programs: no pictures, no names of people."""
        watched = self.watched
        return {
            "bundle": watched.bundle.sha256, "name": watched.bundle.name, "days": watched.days,
            "images": watched.images, "alarm": bool(watched.alarms), "headline": self.headline,
            "kept": [_line(line) for line in watched.kept], "decided": [_line(line) for line in watched.decided],
        }  # fmt: skip


def told(watched: Watched) -> Told:
    """The worst first."""
    if not watched.images:
        return Told(watched, f"Nothing was read in the last {watched.days} days.", "", None)
    drawn = timeline(watched.pieces, watched.kept[0].promised)
    if watched.alarms:
        alarms = "; ".join(map(_in_words, watched.alarms))
        return Told(watched, f"Not as promised: {alarms}.", _advice(watched), drawn)
    if watched.images < ENOUGH:
        few = f"Too early to say: {watched.images} images."
        return Told(watched, few, "Only gross differences would have been seen among so few.", drawn)
    return Told(
        watched, f"Nothing unlike what was promised in {watched.images} images.",
        "That does not prove that its readings are right: labelled images do (secondread prove).", drawn,
    )  # fmt: skip


def _advice(watched: Watched) -> str:
    if watched.kept[0].alarm:
        return (
            "Images here are not like those that it was proven on, and those that it does not refuse may be read "
            "wrongly too: prove it on labelled images from here (secondread prove) before anybody relies on it."
        )
    return "Look at the reads behind this, and prove the model on labelled images from here (secondread prove)."


def _in_words(line: Line) -> str:
    assert line.promised is not None
    return f"{line.name.replace('_', ' ')} {_share(line.here)} where {_share(line.promised)} was promised"


def _share(share: Share) -> str:
    return f"{100 * share.value:.1f}\u00a0% ({100 * share.low:.1f} to {100 * share.high:.1f})"


def _line(line: Line) -> dict[str, Any]:
    here, promised = _numbers(line.here), line.promised and _numbers(line.promised)
    return {"name": line.name, "words": line.words, "alarm": line.alarm, "here": here, "promised": promised}


def _numbers(share: Share) -> dict[str, Any]:
    """JSON has no number for the share of nothing."""
    return {name: None if value != value else value for name, value in asdict(share).items()}
