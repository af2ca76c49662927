"""Parts: the signature is the schema."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from secondread.core import registry
from secondread.core.errors import WrongRequest
from secondread.core.spec import PartRef


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A kind of part of its own, gone after the test."""
    registry.HOMES["fruits"] = "secondread.core.registry"
    registry._PARTS["fruits"] = {}
    yield "fruits"
    del registry.HOMES["fruits"], registry._PARTS["fruits"]


def ref(**written: object) -> PartRef:
    return PartRef.model_validate(written)


def test_the_pipeline_gives_the_first_arguments_and_the_file_the_rest(kind: str) -> None:
    @registry.part(kind, "apple")
    def apple(weight: float, /, *, colour: Literal["red", "green"] = "red", from_: str = "here") -> tuple[object, ...]:
        """A round one.

        More words.
        """
        return weight, colour, from_

    assert registry.resolve(kind, ref(name="apple", colour="green", **{"from": "there"}))(2.0) == (
        2.0,
        "green",
        "there",
    )
    assert registry.find(kind, "apple").summary == "A round one."
    assert [option.name for option in registry.find(kind, "apple").options.values()] == ["colour", "from_"]
    with pytest.raises(WrongRequest, match=r"no option 'color' \(did you mean 'colour'\?\).*from: str"):
        registry.resolve(kind, ref(name="apple", color="red"))
    with pytest.raises(WrongRequest, match=r"colour = 'blue'.*'red' or 'green'"):
        registry.resolve(kind, ref(name="apple", colour="blue"))
    with pytest.raises(WrongRequest, match=r"no option 'from_' \(did you mean 'from'\?\)"):
        registry.resolve(kind, ref(name="apple", from_="there"))  # whatever else looks for `from` would not find it
    with pytest.raises(WrongRequest, match=r"option from = \['there'\]"):
        registry.resolve(kind, ref(name="apple", **{"from": ["there"]}))
    with pytest.raises(WrongRequest, match="no option 'weight'"):
        registry.resolve(kind, ref(name="apple", weight=1.0))
    with pytest.raises(WrongRequest, match=r"no part 'aple' \(did you mean 'apple'\?\). Valid: apple"):
        registry.find(kind, "aple")


def test_as_reaches_a_part_that_asks_for_it(kind: str) -> None:
    @registry.part(kind, "pear")
    def pear(*, as_: str = "") -> str:
        """A pear."""
        return as_

    assert registry.resolve(kind, ref(name="pear", **{"as": "quince"}))() == "quince"


def test_an_option_without_a_default_must_be_given(kind: str) -> None:
    @registry.part(kind, "fig")
    def fig(*, from_: str, as_: str) -> str:
        """A fig."""
        return from_ + as_

    with pytest.raises(WrongRequest, match="fruits: fig needs from: str, as: str"):
        registry.resolve(kind, ref(name="fig"))
    assert registry.resolve(kind, ref(name="fig", **{"from": "a", "as": "b"}))() == "ab"


def test_a_name_taken_twice_is_an_error(kind: str) -> None:
    @registry.part(kind, "plum")
    def plum() -> None:
        """A plum."""

    with pytest.raises(ValueError, match="taken"):

        @registry.part(kind, "plum")
        def another() -> None:
            """Another."""


def test_a_star_answers_to_every_name_of_its_family(kind: str) -> None:
    @registry.part(kind, "wild/*")
    def wild(variant: str, given: int, /, *, sour: bool = False) -> tuple[object, ...]:
        """Any wild one."""
        return variant, given, sour

    assert registry.resolve(kind, ref(name="wild/rose.hip", sour=True))(3) == ("rose.hip", 3, True)


def test_an_unknown_kind_lists_the_kinds() -> None:
    with pytest.raises(WrongRequest, match=r"did you mean 'losses'.*augment"):
        registry.parts("lossses")
