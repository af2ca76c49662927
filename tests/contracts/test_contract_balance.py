"""Every registered policy makes a plan of the right columns, from training rows alone, the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from secondread.core.errors import WrongRequest
from secondread.core.registry import find, parts, resolve
from secondread.core.spec import ref
from secondread.core.tables import PLAN_COLUMNS

CLASSES = ["a", "b", "c"]
COUNTS = [30, 12, 5]
OPTIONS: dict[str, dict[str, Any]] = {
    "duplicate": {"as": "gan_arm"}, "top_up": {"from": "dcgan"}, "synthetic_only": {"from": "dcgan"},
}  # fmt: skip
NAMES = list(parts("balance"))
MANY_LABELS = {"none", "sampler", "oversample"}
TAKES_SOME = {"fraction"}
"""For several labels too, but not every row."""


def rows() -> tuple[pd.DataFrame, np.ndarray]:
    labels = np.eye(3, dtype=np.float32)[np.repeat(np.arange(3), COUNTS)]
    names = {"row_id": [f"{k}.png" for k in range(len(labels))], "group": [f"p{k // 2}" for k in range(len(labels))]}
    return pd.DataFrame(names), labels


def synthetic(each: int = 20, seeds: tuple[int, ...] = (0, 1)) -> pd.DataFrame:
    made = [
        {"row_id": f"s{seed}/{name}/{k}.png", "generator": "dcgan", "target": "all", "seed": seed, "times": 1}
        | {f"y_{other}": float(other == name) for other in CLASSES}
        for seed in seeds
        for name in CLASSES
        for k in range(each)
    ]
    return pd.DataFrame(made)


def plan(name: str, seed: int = 0, **options: Any) -> pd.DataFrame:
    found, labels = rows()
    made: pd.DataFrame = resolve("balance", ref(name, **(OPTIONS.get(name, {}) | options)))(
        found, labels, synthetic(), CLASSES, seed
    )
    return made


def per_class(made: pd.DataFrame) -> list[int]:
    found, labels = rows()
    times = made[~made["synthetic"].astype(bool)].set_index("row_id")["times"].reindex(found["row_id"]).fillna(0)
    return (labels * times.to_numpy()[:, None]).sum(axis=0).astype(int).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_has_its_columns_and_only_known_rows(name: str) -> None:
    made = plan(name)
    assert set(made.columns) == set(PLAN_COLUMNS)
    real = made[~made["synthetic"].astype(bool)]
    assert set(real["row_id"]) <= set(rows()[0]["row_id"])
    assert set(made.loc[made["synthetic"].astype(bool), "row_id"]) <= set(synthetic()["row_id"])
    assert not made["row_id"].duplicated().any()
    assert (made["times"] >= 1).all()
    assert (made["sampling_weight"] > 0).all()
    assert (real["generator_seed"] == -1).all()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_makes_the_same_plan(name: str) -> None:
    pd.testing.assert_frame_equal(plan(name, 3), plan(name, 3))


@pytest.mark.parametrize("name", NAMES)
def test_several_labels_are_served_or_refused_with_the_reason(name: str) -> None:
    found, labels = rows()
    labels[::2, 1] = 1
    labels[1] = np.nan
    policy = resolve("balance", ref(name, **OPTIONS.get(name, {})))
    if name in MANY_LABELS:
        assert set(policy(found, labels, synthetic(), CLASSES, 0)["row_id"]) == set(found["row_id"])
    elif name in TAKES_SOME:
        assert set(policy(found, labels, synthetic(), CLASSES, 0)["row_id"]) < set(found["row_id"])
    else:
        with pytest.raises(WrongRequest, match=f"{name} needs one class per image: .* oversample"):
            policy(found, labels, synthetic(), CLASSES, 0)


@pytest.mark.parametrize("name", NAMES)
def test_it_has_a_summary(name: str) -> None:
    assert find("balance", name).summary.endswith(".")


def test_none_is_every_row_once() -> None:
    assert per_class(plan("none")) == COUNTS


def test_oversample_brings_every_class_to_the_largest_evenly() -> None:
    made = plan("oversample")
    assert per_class(made) == [30, 30, 30]
    assert set(made["times"]) <= {1, 2, 3, 6}


def test_undersample_brings_every_class_to_the_smallest() -> None:
    assert per_class(plan("undersample")) == [5, 5, 5]
    assert set(plan("undersample", 1)["row_id"]) != set(plan("undersample", 2)["row_id"])


def test_fractions_hold_whole_patients_of_each_class_and_lie_within_larger_ones() -> None:
    found, _ = rows()
    held = {share: set(plan("fraction", share=share)["row_id"]) for share in (0.1, 0.5, 0.9)}
    assert held[0.1] < held[0.5] < held[0.9]
    assert per_class(plan("fraction", share=0.5)) == [16, 6, 3]  # 8 of 15 patients, 3 of 6, 2 of 3, the last has one
    for some in held.values():
        assert not set(found.loc[found["row_id"].isin(some), "group"]) & set(
            found.loc[~found["row_id"].isin(some), "group"]
        )
    assert held[0.5] != set(plan("fraction", 1, share=0.5)["row_id"])


@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_a_fraction_is_one_where_patients_have_many_labels_and_loses_none(share: float) -> None:
    """Three thousand images of a thousand patients, fourteen labels; the rarest stands beside others only."""
    chance, names = np.random.default_rng(0), [f"l{k}" for k in range(14)]
    labels = (chance.random((3000, 14)) < np.linspace(0.02, 0.2, 14)).astype(np.float32)
    found = pd.DataFrame({"row_id": map(str, range(3000)), "group": [f"p{k // 3}" for k in range(3000)]})
    labels[:, 0] = 0
    labels[2:30:3, 0] = 1  # a last image of ten patients
    nothing = synthetic()[:0]
    made = resolve("balance", ref("fraction", share=share))(found, labels, nothing, names, 0)
    taken = found["row_id"].isin(made["row_id"]).to_numpy()
    assert share <= found.loc[taken, "group"].nunique() / 1000 < 1.3 * share
    assert labels[taken].sum(axis=0).min() >= 1
    assert labels[taken, 0].sum() >= np.ceil(10 * share)


def test_sampler_draws_every_class_equally() -> None:
    made = plan("sampler")
    labels = rows()[1]
    assert (labels * made["sampling_weight"].to_numpy()[:, None]).sum(axis=0) == pytest.approx([47 / 3] * 3)
    assert made["sampling_weight"].mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("options", "added"),
    [({"to": "majority"}, [0, 18, 25]), ({}, [0, 18, 25]), ({"add": 7}, [7, 7, 7]), ({"ratio": 0.5}, [15, 6, 2])],
)
def test_top_up_adds_what_is_asked_for_of_each_generator_seed(options: dict[str, Any], added: list[int]) -> None:
    made = plan("top_up", **options)
    assert per_class(made) == COUNTS
    for seed in (0, 1):
        ours = made[made["generator_seed"] == seed]
        counts = [int(ours.loc[ours["row_id"].str.contains(f"/{name}/"), "times"].sum()) for name in CLASSES]
        assert counts == added


def test_top_up_takes_one_measure() -> None:
    with pytest.raises(WrongRequest, match="one of to, add and ratio"):
        plan("top_up", add=3, ratio=0.1)


def test_duplicate_copies_as_many_of_each_class_as_the_arm_adds_of_one_seed() -> None:
    assert per_class(plan("duplicate")) == [50, 32, 25]


def test_synthetic_only_has_no_real_row() -> None:
    made = plan("synthetic_only")
    assert made["synthetic"].all()
    assert made[made["generator_seed"] == 0]["times"].sum() == 47


def test_repeat_factors_are_the_square_root_of_threshold_over_frequency() -> None:
    found = pd.DataFrame({"row_id": [f"{k}" for k in range(4000)]})
    labels = np.zeros((4000, 2), np.float32)
    labels[:2000, 0] = 1
    labels[:100, 1] = 1
    made = resolve("balance", ref("oversample", threshold=0.1))(found, labels, synthetic()[:0], ["x", "y"], 0)
    assert made["times"].to_numpy()[:100].mean() == pytest.approx(2.0, abs=1e-9)
    assert made["times"].to_numpy()[100:].max() == 1
    made = resolve("balance", ref("oversample", threshold=0.05))(found, labels, synthetic()[:0], ["x", "y"], 0)
    assert made["times"].to_numpy()[:100].mean() == pytest.approx(2**0.5, abs=0.12)
