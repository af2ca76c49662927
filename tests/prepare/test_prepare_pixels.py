"""What a study is told about how its pixels are made."""

from __future__ import annotations

import pandas as pd

from secondread.core.spec import Prepare
from secondread.prepare.pixels import pixel_settings


def test_a_study_of_first_frames_is_told_that_the_web_application_refuses_several() -> None:
    facts = pd.DataFrame({"chroma": [0.0], "bits": [8], "used_range": [1.0]})
    told = {frames: pixel_settings(facts, Prepare(), frames) for frames in ("first", "refuse")}
    assert told["first"][0]["frames"] == "first"
    assert any("application refuses" in note for note in told["first"][1])
    assert not any("frames" in note for note in told["refuse"][1])
