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


LONGEST = (
    "journey/test_journey.py", "contracts/test_contract_bundles.py", "serve/test_serve_databases.py",
    "journey/test_interruptions.py", "export/test_export_to_onnx.py", "evaluate/test_evaluate_report.py",
    "cli/test_cli.py", "train/test_train_trial.py", "serve/test_serve_browser.py", "prepare/test_prepare_audit.py",
    "journey/test_smoke.py", "images/test_phantom_ladder.py", "predict/test_predict_run.py",
)  # fmt: skip
"""Files of a minute and more: begun first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        name = "/".join(item.path.parts[-2:])
        return LONGEST.index(name) if name in LONGEST else len(LONGEST)

    items.sort(key=turn)


@pytest.fixture(autouse=True)
def denormals_restored() -> Iterator[None]:
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
