"""How pixels are made for the models: one choice of channels and intensity for the study, written down."""

from __future__ import annotations

from typing import Any

import pandas as pd

from secondread.core.spec import Prepare, Study
from secondread.images.decode import DECODER_VERSION, Fit

COLOURFUL = 10.0
"""Mean distance of the three colours above which an image counts as coloured; tinted grey scans stay below."""
COLOUR_SHARE = 0.1
LITTLE_USED = 0.25


def pixel_settings(facts: pd.DataFrame, asked: Prepare, frames: str) -> tuple[dict[str, Any], list[str]]:
    """`pixels.json` without its caches, and why it is so."""
    channels, why_channels = _channels(facts, asked)
    intensity, why_intensity = _intensity(facts, asked)
    settings = {"channels": channels, "intensity": intensity, "crop_border": asked.crop_border,
                "decoder": DECODER_VERSION, "frames": frames, "caches": {}}  # fmt: skip
    why_frames = ["frames: the first of a file with several; `secondread read` does so, the web application refuses"]
    return settings, [why_channels, why_intensity, *(why_frames if frames == "first" else [])]


def _channels(facts: pd.DataFrame, asked: Prepare) -> tuple[int, str]:
    if asked.channels != "auto":
        return int(asked.channels), f"channels: {asked.channels}, as the study asks"
    share = float((facts["chroma"] > COLOURFUL).mean())
    channels = 3 if share > COLOUR_SHARE else 1
    return channels, f"channels: {channels} ({share:.0%} of the images are coloured)"


def _intensity(facts: pd.DataFrame, asked: Prepare) -> tuple[str, str]:
    if asked.intensity != "auto":
        return asked.intensity, f"intensity: {asked.intensity}, as the study asks"
    deep = facts[facts["bits"].astype(float) > 8]
    if len(deep) and float(deep["used_range"].median()) < LITTLE_USED:
        return "percentile", "intensity: percentile (the images use little of the range that their bits allow)"
    return "full_range", "intensity: full_range"


def sizes_of(study: Study) -> list[tuple[int, Fit]]:
    """Every size and fit that the study's arms and GANs take."""
    wanted: set[tuple[int, Fit]] = {(train.size, train.fit) for name in study.arms for train in [study.arm(name)[1]]}
    if study.synthesize.gans:
        wanted.add((study.synthesize.size, study.train.fit))
    return sorted(wanted)
