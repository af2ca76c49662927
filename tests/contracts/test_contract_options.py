"""Every number that a part of the training asks for has limits, and they are kept."""

from __future__ import annotations

import math

import pytest

from secondread.core.errors import WrongRequest
from secondread.core.registry import Option, Part, kinds, parts

OWN_CHECKS = ("sources",)
"""The phantom knows its limits itself: the command line asks for it too."""

NUMBERS = [
    pytest.param(part, option, id=f"{kind}-{name}-{option.name}")
    for kind in kinds()
    if kind not in OWN_CHECKS
    for name, part in parts(kind).items()
    for option in part.options.values()
    if "int" in option.describe().split(" = ")[0] or "float" in option.describe().split(" = ")[0]
]


@pytest.mark.parametrize(("part", "option"), NUMBERS)
def test_numbers_outside_their_limits_are_refused(part: Part, option: Option) -> None:
    pair = "tuple" in option.describe()
    for wrong in (-1, math.nan, math.inf):
        with pytest.raises(WrongRequest, match=option.name):
            part.check({option.name: [wrong, wrong] if pair else wrong})
    if option.default is not None:
        assert part.check({option.name: option.default}) == {option.name: option.default}


def test_the_message_names_the_option_the_value_and_the_limits() -> None:
    with pytest.raises(WrongRequest) as told:
        parts("augment")["strong"].check({"share": 2})
    assert str(told.value) == (
        "augment: strong: option share = 2: Input should be less than or equal to 1 (share: float in (0, 1] = 1.0)"
    )
