"""What the data and the time decide in a plan."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from secondread.core.errors import BadData, WrongRequest
from secondread.core.studyfile import check_parts, load_study, parse_study
from secondread.planning.budget import Budget, budget, parts, spent
from secondread.planning.making import Plan, split_in_time
from secondread.planning.rules import FEWEST, Choice, arms, choices, forbid_too_few, left_out, uncertainty
from secondread.planning.seen import Seen

CHESTS = Seen(
    name="chests", root="/data/chests", layout="class folders", patient_rule="file names", task="binary",
    images={"normal": 1349, "pneumonia": 3883}, patients={"normal": 1000, "pneumonia": 1861}, count=5232, side=900,
)  # fmt: skip


def seen(**other: Any) -> Seen:
    return dataclasses.replace(CHESTS, **other)


def chosen(of: Seen) -> dict[str, Any]:
    return {one.key: one.value for one in choices(of)}


def split_of(of: Seen) -> Choice:
    return next(one for one in choices(of) if one.key == "prepare.split")


def test_many_patients_are_split_once_and_few_in_folds() -> None:
    assert split_of(CHESTS).value == {"name": "grouped", "test": 0.2, "val": 0.15}
    few = split_of(seen(patients={"normal": 76, "pneumonia": 134}, count=253))
    assert few.value["folds"] == 5
    assert "15 patients" in few.why
    assert "all 76" in few.why


def test_the_split_that_comes_with_the_data_is_kept_unless_patients_cross_it() -> None:
    given = seen(given={"train": 4000, "val": 600, "test": 632}, given_test={"normal": 100, "pneumonia": 200})
    assert split_of(given).value == {"name": "official"}
    tiny = dataclasses.replace(given, findings=frozenset({"small_validation"}))
    assert split_of(tiny).value == {"name": "official", "val": 0.15}
    crossed = dataclasses.replace(given, findings=frozenset({"patients_across_splits"}))
    assert split_of(crossed).value["name"] == "grouped"
    assert "both sides" in split_of(crossed).why
    one_sided = dataclasses.replace(given, given_test={"normal": 0, "pneumonia": 200})
    assert split_of(one_sided).value["name"] == "grouped"


def test_an_interval_is_promised_as_wide_as_it_will_be() -> None:
    """Newcombe 1998 gives the simple interval: 1.96 √(.9 × .1 / 100) = 5.9 points."""
    assert uncertainty(100) == "± 6 points"


def test_classes_too_small_to_test_are_left_out_but_two_stay() -> None:
    small = seen(task="multiclass", patients={"a": 300, "b": 200, "c": FEWEST - 1}, images={"a": 300, "b": 200, "c": 9})
    assert left_out(small) == ["c"]
    assert chosen(small)["gather.labels"] == {"c": []}
    few = seen(patients={"normal": 5, "pneumonia": 300})
    assert left_out(few) == []
    with pytest.raises(BadData, match="normal 5; 10 are needed"):
        forbid_too_few(few)
    forbid_too_few(small)


def test_shortcuts_of_the_border_are_cut_off_and_those_of_shape_not_padded() -> None:
    assert "prepare.crop_border" not in chosen(CHESTS)
    assert chosen(seen(findings=frozenset({"shortcut_border"})))["prepare.crop_border"] > 0
    assert chosen(seen(aspects=1.8))["train.fit"] == "pad"
    assert chosen(seen(aspects=1.8, file_facts_tell=True))["train.fit"] == "stretch"


@pytest.mark.parametrize(
    ("told", "expected"),
    [({}, {"plain", "varied"}),
     ({"images": {"normal": 100, "pneumonia": 500}}, {"plain", "varied", "sampled"}),
     ({"task": "multilabel"}, {"plain", "varied", "weighted"})],
)  # fmt: skip
def test_imbalance_gets_an_arm_of_its_own(told: dict[str, Any], expected: set[str]) -> None:
    assert set(arms(seen(**told))) == expected


def test_more_time_buys_pixels_then_seeds_then_a_second_network() -> None:
    split = split_of(CHESTS)
    efforts = [budget(CHESTS, split, 2, minutes, paced).effort for minutes in (40, 120, 500, 1000, 10_000)]
    assert [effort.size for effort in efforts] == [64, 128, 128, 224, 224]
    assert [effort.seeds for effort in efforts] == [1, 1, 3, 3, 3]
    assert len(efforts[-1].models) == 2


FEW = seen(images={"normal": 98, "pneumonia": 155}, patients={"normal": 76, "pneumonia": 134}, count=253)


def test_folds_are_given_up_where_the_minutes_do_not_suffice_and_one_test_part_says_something() -> None:
    folded, ample = split_in_time(FEW, split_of(FEW), 2, 30, paced)
    assert folded.value["folds"] == 5
    assert ample.fits
    once, found = split_in_time(FEW, split_of(FEW), 2, 5, paced)
    assert once.value == {"name": "grouped", "test": 0.2, "val": 0.15}
    assert "five folds would take 12 minutes instead of 5; so a fifth of the patients tests: 15 of the" in once.why
    assert found.fits
    fewer = dataclasses.replace(FEW, patients={"normal": 40, "pneumonia": 134})
    kept, late = split_in_time(fewer, split_of(fewer), 2, 5, paced)
    assert kept.value["folds"] == 5  # eight patients would test the rarest class
    assert not late.fits


def test_the_images_counted_are_those_trained_on() -> None:
    assert parts(CHESTS, split_of(CHESTS)) == pytest.approx((5232 * 0.8 * 0.85, 5232 * 0.8 * 0.15))
    copied = seen(copies=232, findings=frozenset({"exact_duplicates"}))
    assert sum(parts(copied, split_of(copied))) == pytest.approx(5000 * 0.8)
    given = seen(given={"train": 4000, "val": 600, "test": 632}, given_test={"normal": 100, "pneumonia": 200})
    assert parts(given, split_of(given)) == pytest.approx((4000, 600))
    tiny = dataclasses.replace(given, findings=frozenset({"small_validation"}))
    assert parts(tiny, split_of(tiny)) == pytest.approx((4600 * 0.85, 4600 * 0.15))
    rare = seen(task="multiclass", images={"a": 800, "b": 200, "c": 1000}, count=2000, findings=frozenset(),
                patients={"a": 800, "b": 200, "c": 9})  # fmt: skip
    assert sum(parts(rare, split_of(rare))) == pytest.approx(1000 * 0.8)  # a thousand slices of nine patients
    several = dataclasses.replace(rare, task="multilabel")
    assert sum(parts(several, split_of(several))) == pytest.approx(2000 * 0.8)  # the label goes, the images stay


def test_what_cannot_fit_is_said_and_not_made_useless() -> None:
    found = budget(CHESTS, split_of(CHESTS), 2, 1, paced)
    assert not found.fits
    assert found.effort.epochs >= 4
    assert "more than asked for (--minutes 1)" in plan_of(CHESTS, found).text.replace("\n# ", " ")


def test_what_somebody_changed_in_a_plan_is_not_written_over(tmp_path: Path) -> None:
    made = plan_of(CHESTS, budget(CHESTS, split_of(CHESTS), 2, 60, paced))
    mine = tmp_path / "mine.yaml"
    mine.write_text("study: mine\n")
    with pytest.raises(WrongRequest, match="there already"):
        made.write(mine)
    assert mine.read_text() == "study: mine\n"
    assert load_study(made.write(tmp_path / "new.yaml")) == made.study


def test_images_are_never_enlarged() -> None:
    small = seen(side=100)
    assert budget(small, split_of(small), 2, 10_000, paced).effort.size == 96


def paced(model: str, size: int, batch: int, classes: int) -> float:
    """A machine that takes 100 images of 64 pixels in a second."""
    return 100 * (64 / size) ** 2 / (3 if model == "densenet121" else 1)


def plan_of(of: Seen, found: Budget) -> Plan:
    compared = [Choice(f"arms.{name}", dict(told), why) for name, (told, why) in arms(of).items()]
    return Plan(of, [*choices(of), *spent(found, of, split_of(of)), *compared], found)


names = st.text(min_size=1, max_size=12).filter(lambda name: name.strip() == name)
counts = st.integers(1, 100_000)


@st.composite
def sets(draw: st.DrawFn) -> Seen:
    classes = draw(st.lists(names, min_size=2, max_size=6, unique=True))
    patients = {name: draw(counts) for name in classes}
    codes = ["no_patients", "patients_across_splits", "shortcut_border", "exact_duplicates", "small_validation"]
    return seen(
        root="/" + draw(names), layout=draw(names), patient_rule=draw(names), patients=patients,
        images={name: count * draw(st.integers(1, 3)) for name, count in patients.items()}, count=draw(counts),
        task=draw(st.sampled_from(["binary", "multiclass", "multilabel"])), side=draw(st.integers(1, 4000)),
        aspects=draw(st.floats(1, 10)), given=draw(st.sampled_from([{}, {"train": 50, "test": 50}])),
        given_test=patients, findings=frozenset(draw(st.sets(st.sampled_from(codes)))),
    )  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sets(), st.floats(1, 5000))
def test_every_plan_is_a_valid_study_that_trains_what_it_says(of: Seen, minutes: float) -> None:
    found = budget(of, split_of(of), len(arms(of)), minutes, paced)
    made = plan_of(of, found)
    study = parse_study(yaml.safe_load(made.text))
    check_parts(study)
    written = {one.key: one.value for one in made.choices}
    assert study.train.size == found.effort.size == written["train.size"]
    assert study.gather.source.options["root"] == of.root
    assert list(study.arms) == list(arms(of))
    assert study.gather.labels == written.get("gather.labels", {})
