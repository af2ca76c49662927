"""A fold that leaves a family out trains on none of it, and on no patient of it, whatever the data look like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondread.core.errors import BadData, SecondreadError
from secondread.core.families import name_family
from secondread.core.registry import resolve
from secondread.core.spec import ref
from secondread.core.studyfile import parse_study
from secondread.core.trials import folds as folds_of
from secondread.prepare.proof import prove

KERMANY = "(NORMAL2|IM|bacteria|virus)-?[^/]*$"


def table(
    draw: np.random.Generator, families: list[int], rows_each: int, crossing: float
) -> tuple[pd.DataFrame, NDArray[np.float32], pd.Series]:
    """Classes with `families[k]` families each, patients of a few images, some of them in two families of a class."""
    label = np.repeat(np.arange(len(families)), rows_each)
    n = len(label)
    family = np.array([draw.integers(0, families[k]) for k in label])
    first = np.searchsorted(label, np.arange(len(families)))
    for k, count in enumerate(families):  # each family is there, whatever was drawn
        family[first[k] : first[k] + count] = np.arange(count)
    patient = np.array([f"p{k}-{f}-{draw.integers(0, 12)}" for k, f in zip(label, family, strict=True)])
    moved = draw.random(n) < crossing
    patient[moved] = [f"p{k}-both-{draw.integers(0, 9)}" for k in label[moved]]
    ids = [f"c{k}f{f}/{place:03d}.png" for place, (k, f) in enumerate(zip(label, family, strict=True))]
    rows = pd.DataFrame({"row_id": ids, "group": patient})
    return rows, np.eye(len(families), dtype=np.float32)[label], rows["row_id"].str.extract(r"(c\d+f\d+)")[0]


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    families=st.lists(st.integers(2, 5), min_size=2, max_size=3),
    crossing=st.sampled_from([0.0, 0.1, 0.3]),
    repeats=st.integers(1, 2),
)
def test_no_family_and_no_patient_is_on_both_sides(
    seed: int, families: list[int], crossing: float, repeats: int
) -> None:
    rows, labels, of = table(np.random.default_rng(seed), families, 60, crossing)
    folds = min(families)
    asked = ref("families", folds=folds, family=r"(c\d+f\d+)", repeats=repeats)
    made = resolve("splits", asked)(rows, labels, seed)
    known = made.merge(rows.assign(family=of, label=labels.argmax(axis=1)), on="row_id")
    for _, part in known.groupby(["repeat", "fold"]):
        tested, rest = part[part["split"] == "test"], part[part["split"] != "test"]
        assert not set(tested["family"]) & set(rest["family"])
        assert part.groupby("group")["split"].nunique().max() == 1
        assert set(tested["label"]) == set(range(len(families)))
        absent = rows[~rows["row_id"].isin(part["row_id"])]
        assert set(absent["group"]) <= set(tested["group"])
    tests = known[known["split"] == "test"]
    assert (tests.groupby("repeat")["row_id"].nunique() == len(rows)).all()
    assert not tests.duplicated(["repeat", "row_id"]).any()
    pd.testing.assert_frame_equal(made, resolve("splits", asked)(rows, labels, seed))


def test_families_are_dealt_to_folds_by_size() -> None:
    rows, labels, of = table(np.random.default_rng(0), [2, 4], 400, 0.0)
    made = resolve("splits", ref("families", folds=2, family=r"(c\d+f\d+)"))(rows, labels, 0)
    tests = made[made["split"] == "test"].merge(rows.assign(family=of), on="row_id")
    assert tests.groupby("fold")["family"].nunique().tolist() == [3, 3]
    assert tests["fold"].value_counts(normalize=True).max() < 0.55


def test_kermanys_names_leave_one_kind_of_each_class_out() -> None:
    """Bacteria and virus of one number are one child: what is left out of a fold, and what the notes say of it."""
    names = [f"train/NORMAL/IM-{k:04d}-0001.jpeg" for k in range(30)]
    names += [f"train/NORMAL/NORMAL2-IM-{k:04d}-0001.jpeg" for k in range(40)]
    names += [f"train/PNEUMONIA/person{k}_bacteria_{k + 7}.jpeg" for k in range(60)]
    names += [f"train/PNEUMONIA/person{k}_virus_{k + 9}.jpeg" for k in range(40, 80)]
    person = pd.Series(names).str.extract(r"(person\d+)")[0]
    rows = pd.DataFrame({"row_id": names, "group": person.fillna(pd.Series(names))})
    labels = np.eye(2, dtype=np.float32)[np.repeat([0, 1], [70, 100])]
    made = resolve("splits", ref("families", folds=2, family=KERMANY))(rows, labels, 0)
    kind = dict(zip(names, pd.Series(names).str.extract(KERMANY)[0], strict=True))
    for fold, part in made.assign(kind=made["row_id"].map(kind)).groupby("fold"):
        tested = set(part.loc[part["split"] == "test", "kind"])
        assert tested in ({"IM", "bacteria"}, {"IM", "virus"}, {"NORMAL2", "bacteria"}, {"NORMAL2", "virus"})
        assert len(part) == 170 - 20
        assert "20 images stand in no part" in made.attrs["notes"][fold]
    clean = rows.assign(y_a=labels[:, 0], y_b=labels[:, 1], patient=person, content_id=names)
    assert prove(clean, made, ["a", "b"], leaky=False, patients_known=True)["disjoint"]


def test_sites_are_the_families_where_every_row_has_one() -> None:
    rows, labels, _ = table(np.random.default_rng(1), [3, 3], 60, 0.0)
    rows["site"] = np.tile(["a", "b", "c"], 40)
    rows["group"] = rows["site"] + rows["group"]
    made = resolve("splits", ref("families", folds=3))(rows, labels, 0).merge(rows, on="row_id")
    for _, part in made.groupby("fold"):
        assert part.loc[part["split"] == "test", "site"].nunique() == 1
    rows.loc[3, "site"] = None  # then the site is no longer known of every row, and the file's name speaks
    by_name = resolve("splits", ref("families", folds=2, family=r"c\df(\d)"))(rows, labels, 0)
    pd.testing.assert_frame_equal(
        by_name, resolve("splits", ref("families", folds=2, family=r"f(\d)/"))(rows.drop(columns="site"), labels, 0)
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"folds": 2}, "y has one family only"),
        ({"folds": 3, "family": r"(c\d+f\d+)"}, "x has 2 families"),
        ({"family": "(c)"}, "folds: 2 or more"),
        ({"folds": 2, "family": "c("}, "no regular expression"),
        ({"folds": 2, "family": "c"}, "no group"),
        ({"folds": 2, "family": "(c0)"}, "names no family of 60 images"),
    ],
)
def test_what_cannot_be_left_out_is_said_in_two_lines(options: dict[str, object], told: str) -> None:
    rows, labels, _ = table(np.random.default_rng(2), [2, 3], 60, 0.0)
    rows["row_id"] = [f"{'xz'[k % 2] if k < 60 else 'y'}{row}" for k, row in enumerate(rows["row_id"])]
    rows = rows.assign(y_x=labels[:, 0], y_y=labels[:, 1])
    if "family" not in options:
        rows["row_id"] = rows["row_id"].str.replace("/", "-")
    with pytest.raises(SecondreadError, match=told) as error:
        resolve("splits", ref("families", **options))(rows, labels, 0)
    assert str(error.value).count("\n") < 2


def of_sites(sizes: list[tuple[str, int, int]]) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Rows of sites with so many images of either class, each of its own patient."""
    site = [name for name, first, second in sizes for _ in range(first + second)]
    label = [k for _, *counts in sizes for k, count in enumerate(counts) for _ in range(count)]
    ids = [f"{name}{place}.png" for place, name in enumerate(site)]
    return pd.DataFrame({"row_id": ids, "group": ids, "site": site}), np.eye(2, dtype=np.float32)[label]


def test_a_family_that_classes_share_is_tested_whole() -> None:
    rows, labels = of_sites([("a", 30, 0), ("b", 20, 25), ("c", 0, 30)])
    made = resolve("splits", ref("families", folds=2))(rows, labels, 0).merge(rows, on="row_id")
    for _, part in made.groupby("fold"):
        assert part.assign(tested=part["split"] == "test").groupby("site")["tested"].nunique().max() == 1
    rows, labels = of_sites([("a", 20, 40), ("b", 30, 0), ("d", 7, 20)])
    with pytest.raises(BadData, match="share families"):
        resolve("splits", ref("families", folds=2))(rows, labels, 0)


def test_the_folds_are_those_of_the_trials() -> None:
    split = {"name": "families", "folds": 3, "repeats": 2, "family": r"(c\d+f\d+)"}
    study = parse_study({"study": "f", "prepare": {"split": split}})
    rows, labels, _ = table(np.random.default_rng(4), [3, 4], 60, 0.0)
    made = resolve("splits", study.prepare.split)(rows, labels, 0)
    assert sorted(set(zip(made["repeat"].tolist(), made["fold"].tolist(), strict=True))) == folds_of(study)


def test_a_family_of_names_is_the_letters_before_the_first_digit() -> None:
    assert name_family("a/b/IM-0115-0001.JPEG#3") == "IM-….jpeg"
    assert name_family("person1_virus_6.jpeg") == name_family("person2_bacteria_7.jpeg") == "person….jpeg"
    assert name_family("noending") == "…"
