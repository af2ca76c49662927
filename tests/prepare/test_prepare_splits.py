"""No split ever separates a patient or a duplicate cluster, whatever the data look like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from secondread.core.errors import BadData, Leak, WrongRequest
from secondread.core.registry import resolve
from secondread.core.spec import ref
from secondread.core.trials import folds as folds_of
from secondread.prepare.groups import clusters, named_clusters, same
from secondread.prepare.proof import prove


def table(
    draw: np.random.Generator, patients: int, classes: int, multi: bool
) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Rows of patients with 1-5 images, some of them with the content of another patient's image."""
    owner = np.repeat(np.arange(patients), draw.integers(1, 6, patients))
    n = len(owner)
    content = [f"c{k}" for k in range(n)]
    for place in np.flatnonzero(draw.random(n) < 0.1):
        content[place] = content[int(draw.integers(0, n))]
    rows = pd.DataFrame({"row_id": [f"r{k}" for k in range(n)], "content_id": content})
    rows["patient"] = pd.Series([f"p{k}" for k in owner], dtype="string").where(draw.random(n) < 0.8)
    numbers = clusters(n, [same(rows["patient"]), same(rows["content_id"])])
    rows["group"] = named_clusters(numbers, rows["row_id"], "g:")
    rows["split_given"] = draw.choice(np.array(["train", "val", "test"], dtype=object), n)
    if multi:
        labels = (draw.random((n, classes)) < draw.uniform(0.05, 0.5, classes)).astype(np.float32)
        labels[draw.random((n, classes)) < 0.1] = -1.0
    else:
        labels = np.eye(classes, dtype=np.float32)[draw.integers(0, classes, n)]
    return rows, labels


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    patients=st.integers(12, 80),
    classes=st.integers(2, 5),
    multi=st.booleans(),
    folds=st.sampled_from([1, 1, 2, 5]),
    repeats=st.integers(1, 2),
    test=st.sampled_from([0.1, 0.2, 0.4]),
)
def test_groups_stay_together_and_every_row_has_a_side(
    seed: int, patients: int, classes: int, multi: bool, folds: int, repeats: int, test: float
) -> None:
    rows, labels = table(np.random.default_rng(seed), patients, classes, multi)
    assume(rows["group"].nunique() >= 2 * max(folds, 3))
    made = resolve("splits", ref("grouped", test=test, val=0.1, folds=folds, repeats=repeats))(rows, labels, seed)
    assert len(made) == len(rows) * folds * repeats
    group = dict(zip(rows["row_id"], rows["group"], strict=True))
    for _, part in made.groupby(["repeat", "fold"]):
        sides = part.assign(group=part["row_id"].map(group)).groupby("group")["split"].nunique()
        assert sides.max() == 1
        assert set(part["split"]) == {"train", "val", "test"}
    if folds > 1:
        tested = made[made["split"] == "test"]
        assert (tested.groupby("repeat")["row_id"].nunique() == len(rows)).all()
        assert not tested.duplicated(["repeat", "row_id"]).any()
    again = resolve("splits", ref("grouped", test=test, val=0.1, folds=folds, repeats=repeats))(rows, labels, seed)
    pd.testing.assert_frame_equal(made, again)


@pytest.mark.parametrize("multi", [False, True])
def test_shares_and_labels_are_balanced(multi: bool) -> None:
    rows, labels = table(np.random.default_rng(5), 1500, 4, multi)
    made = resolve("splits", ref("grouped", test=0.2, val=0.1))(rows, labels, 0)
    split = made.set_index("row_id").loc[rows["row_id"], "split"].to_numpy()
    for name, share in (("test", 0.2), ("val", 0.1), ("train", 0.7)):
        assert abs((split == name).mean() - share) < 0.01
        per_class = (labels[split == name] == 1).sum(axis=0) / (labels == 1).sum(axis=0)
        np.testing.assert_allclose(per_class, share, atol=0.02)


def test_a_label_that_one_patient_has_goes_to_the_training_part() -> None:
    for seed in range(5):
        rows, labels = table(np.random.default_rng(seed), 60, 3, True)
        labels[:, 2] = (rows["group"] == rows["group"].iloc[0]).to_numpy(np.float32)
        made = resolve("splits", ref("grouped"))(rows, labels, seed)
        assert set(made["split"][labels[:, 2] == 1]) == {"train"}


def test_repeats_and_seeds_differ() -> None:
    rows, labels = table(np.random.default_rng(1), 60, 2, False)
    made = resolve("splits", ref("grouped", repeats=2))(rows, labels, 0)
    first, second = (made.loc[made["repeat"] == k, "split"].to_list() for k in (0, 1))
    assert first != second
    other = resolve("splits", ref("grouped"))(rows, labels, 1)["split"].to_list()
    assert first != other


def test_official_keeps_the_given_sides_and_refuses_to_separate_patients() -> None:
    rows, labels = table(np.random.default_rng(2), 60, 2, False)
    with pytest.raises(BadData, match="separates"):
        resolve("splits", ref("official"))(rows, labels, 0)
    dropped = resolve("splits", ref("official", crossing="drop"))(rows, labels, 0)
    known = dropped.merge(rows, on="row_id")
    assert known.groupby("group")["split"].nunique().max() == 1
    assert (known["split"] == known["split_given"]).all()
    assert f"; {len(rows) - len(known)} images whose patient" in dropped.attrs["notes"][0]
    rows["split_given"] = np.where(rows["group"] < "g:r3", "test", "train")
    cut = resolve("splits", ref("official", val=0.2))(rows, labels, 0).merge(rows, on="row_id")
    assert (cut.loc[cut["split_given"] == "test", "split"] == "test").all()
    assert set(cut.loc[cut["split_given"] == "train", "split"]) == {"train", "val"}
    assert cut.groupby("group")["split"].nunique().max() == 1


def test_official_without_a_test_part_holds_the_validation_part_out() -> None:
    rows, labels = table(np.random.default_rng(3), 60, 2, False)
    rows["split_given"] = np.where(rows["group"] < "g:r3", "val", "train")
    made = resolve("splits", ref("official"))(rows, labels, 0).merge(rows, on="row_id")
    assert (made.loc[made["split_given"] == "val", "split"] == "test").all()
    assert "val" in set(made["split"])
    rows["split_given"] = None
    with pytest.raises(BadData, match="grouped"):
        resolve("splits", ref("official"))(rows, labels, 0)


def test_official_tells_what_no_part_is_given_for() -> None:
    rows, labels = table(np.random.default_rng(3), 60, 2, False)
    rows["split_given"] = np.where(rows["group"] < "g:r3", "test", np.where(rows["group"] < "g:r6", "train", None))
    made = resolve("splits", ref("official"))(rows, labels, 0)
    assert len(made) == rows["split_given"].notna().sum()
    assert f"; {len(rows) - len(made)} images that no part is given for stand in none" in made.attrs["notes"][0]


def test_official_repeats_nothing_where_nothing_is_drawn() -> None:
    rows, labels = table(np.random.default_rng(3), 60, 2, False)
    with pytest.raises(WrongRequest, match="all would be the same"):
        resolve("splits", ref("official", crossing="drop", repeats=2))(rows, labels, 0)
    made = resolve("splits", ref("official", crossing="drop", repeats=2, val=0.2))(rows, labels, 0)
    first, second = (set(made.loc[(made["repeat"] == k) & (made["split"] == "val"), "row_id"]) for k in (0, 1))
    assert first != second


@settings(derandomize=True, max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), patients=st.integers(30, 80), given_test=st.booleans(), val=st.booleans())
def test_official_cuts_a_test_part_where_none_is_given(seed: int, patients: int, given_test: bool, val: bool) -> None:
    """One study file for both: the official test part untouched where it is there, else a share of the others."""
    rows, labels = table(np.random.default_rng(seed), patients, 2, False)
    order = {group: place for place, group in enumerate(sorted(set(rows["group"])))}
    rows["split_given"] = np.where(rows["group"].map(order) < 3, "val", "train")
    if given_test:
        rows.loc[rows["group"].map(order) >= len(order) - 6, "split_given"] = "test"
    asked = ref("official", otherwise=0.2, **({"val": 0.15} if val else {}))
    split = resolve("splits", asked)(rows, labels, seed)
    made = split.merge(rows, on="row_id")
    assert len(made) == len(rows)
    assert made.groupby("group")["split"].nunique().max() == 1
    assert set(made["split"]) == {"train", "val", "test"}
    marked = made.loc[made["split"] == "test", "split_given"]
    if given_test:
        assert set(marked) == {"test"}
        assert (made["split_given"] == "test").sum() == len(marked)
        assert f"the test part is the one given: {len(marked)} images" in split.attrs["notes"][0]
        plain = resolve("splits", ref("official", **({"val": 0.15} if val else {})))(rows, labels, seed)
        pd.testing.assert_frame_equal(split, plain)
    else:
        assert abs(len(marked) / len(rows) - 0.2) < 0.12
        assert f"{len(marked)} images of the training part stand for it" in split.attrs["notes"][0]
    assert (set(made.loc[made["split_given"] == "val", "split"]) == {"val"}) == (not val)


def test_official_cuts_its_test_part_too_where_nothing_is_marked() -> None:
    rows, labels = table(np.random.default_rng(8), 60, 2, False)
    rows["split_given"] = None
    made = resolve("splits", ref("official", otherwise=0.2, val=0.1))(rows, labels, 0)
    assert set(made["split"]) == {"train", "val", "test"}
    assert len(made) == len(rows)


def test_kfold_agrees_with_the_trials_about_its_folds() -> None:
    from secondread.core.studyfile import parse_study

    rows, labels = table(np.random.default_rng(4), 60, 2, False)
    with pytest.raises(WrongRequest, match="folds"):
        resolve("splits", ref("kfold"))(rows, labels, 0)
    made = resolve("splits", ref("kfold", folds=4, repeats=2))(rows, labels, 0)
    study = parse_study({"study": "k", "prepare": {"split": {"name": "kfold", "folds": 4, "repeats": 2}}})
    there = sorted(set(zip(made["repeat"].tolist(), made["fold"].tolist(), strict=True)))
    assert there == folds_of(study)


def test_image_level_separates_patients_and_the_proof_says_so() -> None:
    rows, labels = table(np.random.default_rng(6), 80, 2, False)
    clean = rows.assign(y_a=labels[:, 0], y_b=labels[:, 1])
    made = resolve("splits", ref("image_level"))(rows, labels, 0)
    with pytest.raises(Leak):
        prove(clean, made, ["a", "b"], leaky=False, patients_known=True)
    proof = prove(clean, made, ["a", "b"], leaky=True, patients_known=True)
    assert proof["stamp"] == "LEAKY PROTOCOL"
    assert not proof["disjoint"]
    assert proof["parts"][0]["crossing"]["patient"] > 0
    honest = resolve("splits", ref("grouped"))(rows, labels, 0)
    told = prove(clean, honest, ["a", "b"], leaky=False, patients_known=True)
    assert told["disjoint"]
    counted = told["parts"][0]["splits"]
    assert sum(part["images"] for part in counted.values()) == len(rows)
    assert counted["test"]["positive"]["a"] == int(
        (clean.set_index("row_id").loc[honest.loc[honest["split"] == "test", "row_id"], "y_a"] == 1).sum()
    )


def test_too_few_groups_are_refused() -> None:
    rows, labels = table(np.random.default_rng(7), 30, 2, False)
    rows["group"] = "g:one"
    with pytest.raises(BadData, match="groups"):
        resolve("splits", ref("grouped"))(rows, labels, 0)
    with pytest.raises(WrongRequest, match="nothing to train on"):
        resolve("splits", ref("grouped", test=0.6, val=0.5))(rows, labels, 0)


def test_clusters_are_the_closure_of_all_links() -> None:
    names = pd.Series(["a", None, "b", "a", None, "b"], dtype="string")
    numbers = clusters(6, [same(names), np.array([[1, 2]])])
    assert numbers[0] == numbers[3]
    assert numbers[1] == numbers[2] == numbers[5]
    assert len({numbers[0], numbers[1], numbers[4]}) == 3
    rows = pd.Series([f"r{k}" for k in range(6)])
    assert named_clusters(numbers, rows, "g:").tolist() == ["g:r0", "g:r1", "g:r1", "g:r0", "g:r4", "g:r1"]
