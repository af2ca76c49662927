from __future__ import annotations

from typing import Any

import pytest

from secondread.core.errors import WrongRequest
from secondread.images.phantom import FORMATS, PRESETS, PhantomSpec


def test_the_four_presets_have_the_classes_of_the_sets_they_stand_for() -> None:
    assert PRESETS["cxr-binary"].names == ("NORMAL", "PNEUMONIA")
    assert PRESETS["cxr-binary"].shares["PNEUMONIA"] == 3 * PRESETS["cxr-binary"].shares["NORMAL"]
    assert PRESETS["cxr-3class"].names == ("Normal", "Viral Pneumonia", "COVID")
    assert PRESETS["mri-binary"].names == ("no", "yes")
    assert PRESETS["cxr-multilabel"].multilabel
    assert len(PRESETS["cxr-multilabel"].names) >= 5
    assert all(set(preset.formats) <= set(FORMATS) for preset in PRESETS.values())


@pytest.mark.parametrize(
    "wrong",
    [
        {"preset": "ct"},
        {"n": 0},
        {"n": 2.5},
        {"n": True},
        {"seed": -1},
        {"size": 16},
        {"size": 5000},
        {"visits": 0},
        {"sites": 4},
        {"contrast": -0.1},
        {"contrast": "high"},
        {"confounding": 1.2},
        {"confounding": 0.5, "sites": 1},
        {"label_noise": -0.1},
        {"uncertain": 2},
        {"unmentioned": -1},
        {"split_leak": 1.5},
        {"imbalance": {"Plague": 0.5}},
        {"imbalance": {"NORMAL": -1.0}},
        {"imbalance": {"NORMAL": 0.0, "PNEUMONIA": 0.0}},
        {"defects": {"byte_copy": -1}},
    ],
)
def test_a_value_out_of_range_is_refused_in_one_line(wrong: dict[str, Any]) -> None:
    with pytest.raises(WrongRequest) as raised:
        PhantomSpec(**{"preset": "cxr-binary", "n": 10, **wrong})
    assert "\n" not in str(raised.value)


def test_an_unknown_class_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WrongRequest, match="NORMAL, PNEUMONIA"):
        PhantomSpec("cxr-binary", 10, imbalance={"Plague": 0.5})


def test_class_shares_are_scaled_and_prevalences_are_not() -> None:
    assert PhantomSpec("cxr-binary", 10, imbalance={"NORMAL": 3.0, "PNEUMONIA": 1.0}).shares == {
        "NORMAL": 0.75,
        "PNEUMONIA": 0.25,
    }
    prevalences = PhantomSpec("cxr-multilabel", 10, imbalance={"Edema": 0.5}).shares
    assert prevalences["Edema"] == 0.5
    assert prevalences["Consolidation"] == PRESETS["cxr-multilabel"].shares["Consolidation"]
