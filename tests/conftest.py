"""Puts this folder on the path, so that tests of several rooms can share makers of small studies and bundles.

Property tests have no time limit of their own: a busy machine must not make one fail. Training sets the processor to
take denormal numbers as zero, which must not outlive a test: Hypothesis draws such numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


@pytest.fixture(autouse=True)
def denormals_restored() -> Iterator[None]:
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
