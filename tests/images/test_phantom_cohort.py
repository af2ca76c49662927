from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from secondread.images.phantom import PRESETS, PhantomSpec, plan
from secondread.images.phantom.streams import even_draw, stream


def test_a_larger_phantom_begins_with_the_smaller_one() -> None:
    small = list(plan(PhantomSpec("cxr-multilabel", 40, seed=3)))
    large = list(plan(PhantomSpec("cxr-multilabel", 90, seed=3)))
    assert large[:40] == small
    assert [case.index for case in large] == list(range(90))


def test_another_seed_gives_another_cohort() -> None:
    first, second = (list(plan(PhantomSpec("cxr-multilabel", 40, seed=seed))) for seed in (0, 1))
    assert [case.truth for case in first] != [case.truth for case in second]


def test_streams_are_told_apart_by_every_part_of_their_name() -> None:
    draws = {
        stream(*name).random()
        for name in [(0, "a", 1), (0, "a", 2), (0, "b", 1), (1, "a", 1), (0, "a", 1, "x"), (0, "a1"), (0, "a", 11)]
    }
    assert len(draws) == 7
    assert stream(0, "a", 1).random() == stream(0, "a", 1).random()


def test_even_draws_fill_the_interval_evenly() -> None:
    values = np.sort([even_draw(5, "x", i, 2) for i in range(200)])
    assert np.abs(values - (np.arange(200) + 0.5) / 200).max() < 0.03


@pytest.mark.parametrize("preset", ["cxr-binary", "cxr-3class", "mri-binary"])
def test_every_image_has_one_class_in_the_asked_share(preset: str) -> None:
    cases = list(plan(PhantomSpec(preset, 400, visits=1)))
    assert all(sum(case.truth.values()) == 1 for case in cases)
    shares = PRESETS[preset].shares
    for name, share in shares.items():
        assert np.mean([case.truth[name] for case in cases]) == pytest.approx(share / sum(shares.values()), abs=0.02)


def test_observations_come_with_the_asked_prevalence_and_congestion_ties_three_of_them() -> None:
    cases = list(plan(PhantomSpec("cxr-multilabel", 2000, visits=1, imbalance={"Lung Lesion": 0.4})))
    truth = {name: np.array([case.truth[name] for case in cases]) for name in PRESETS["cxr-multilabel"].names}
    assert truth["Lung Lesion"].mean() == pytest.approx(0.4, abs=0.02)
    assert truth["Pneumothorax"].mean() == pytest.approx(0.14, abs=0.02)
    tied = np.corrcoef(truth["Edema"], truth["Pleural Effusion"])[0, 1]
    free = np.corrcoef(truth["Edema"], truth["Lung Lesion"])[0, 1]
    assert tied > 0.1 > abs(free)


def test_imbalance_is_a_knob() -> None:
    cases = list(plan(PhantomSpec("cxr-binary", 300, visits=1, imbalance={"NORMAL": 0.9, "PNEUMONIA": 0.1})))
    assert np.mean([case.truth["PNEUMONIA"] for case in cases]) == pytest.approx(0.1, abs=0.02)


def test_patients_have_one_to_the_asked_number_of_visits_and_one_truth() -> None:
    visits, truths = defaultdict(list), defaultdict(set)
    for case in plan(PhantomSpec("cxr-3class", 300, visits=4)):
        visits[case.patient].append(case.visit)
        truths[case.patient].add(tuple(case.truth.items()))
    complete = dict(list(visits.items())[:-1])
    assert all(numbers == list(range(len(numbers))) for numbers in complete.values())
    assert {len(numbers) for numbers in complete.values()} == {1, 2, 3, 4}
    assert all(len(truth) == 1 for truth in truths.values())


def _crosstab(confounding: float) -> dict[str, Counter[str]]:
    table: dict[str, Counter[str]] = defaultdict(Counter)
    for case in plan(PhantomSpec("cxr-binary", 1500, visits=1, confounding=confounding)):
        table[case.label][case.site] += 1
    return table


def test_without_confounding_the_site_does_not_depend_on_the_label() -> None:
    table = _crosstab(0.0)
    for label in ("NORMAL", "PNEUMONIA"):
        total = sum(table[label].values())
        assert table[label]["A"] / total == pytest.approx(0.5, abs=0.08)
        assert table[label]["B"] / total == pytest.approx(0.25, abs=0.08)


def test_confounding_ties_the_site_to_the_label_with_the_asked_strength() -> None:
    half = _crosstab(0.5)
    assert half["PNEUMONIA"]["B"] / sum(half["PNEUMONIA"].values()) == pytest.approx(0.5 + 0.5 * 0.25, abs=0.06)
    assert half["NORMAL"]["B"] / sum(half["NORMAL"].values()) == pytest.approx(0.5 * 0.25, abs=0.06)
    full = _crosstab(1.0)
    assert set(full["PNEUMONIA"]) == {"B"}
    assert set(full["NORMAL"]) == {"A"}


def test_label_noise_flips_the_asked_share_of_labels_and_no_truth() -> None:
    spec = PhantomSpec("cxr-3class", 1500, visits=1, label_noise=0.2)
    cases = list(plan(spec))
    wrong = [case.truth[case.label] == 0 for case in cases]
    assert np.mean(wrong) == pytest.approx(0.2, abs=0.04)
    clean = list(plan(replace(spec, label_noise=0.0)))
    assert [case.truth for case in clean] == [case.truth for case in cases]
    assert all(case.truth[case.label] == 1 for case in clean)


def test_faint_findings_are_written_down_as_uncertain_more_often_than_plain_ones() -> None:
    faint, plain, values = [], [], set()
    for case in plan(PhantomSpec("cxr-multilabel", 1500, visits=1, uncertain=0.8)):
        values |= set(case.labels.values())
        for name, severity in case.findings.items():
            (faint if severity < 0.6 else plain).append(case.labels[name] == -1.0)
    assert values == {1.0, 0.0, -1.0, None}
    assert np.mean(faint) > np.mean(plain) + 0.2


def test_nothing_is_uncertain_or_empty_when_that_is_asked() -> None:
    for case in plan(PhantomSpec("cxr-multilabel", 200, uncertain=0.0, unmentioned=0.0)):
        assert case.labels == {name: float(value) for name, value in case.truth.items()}


def test_stable_findings_keep_their_severity_over_the_visits() -> None:
    def spread(stable: bool) -> int:
        severities = defaultdict(set)
        for case in plan(PhantomSpec("cxr-multilabel", 200, visits=4, stable_findings=stable)):
            for name, severity in case.findings.items():
                severities[case.patient, name].add(severity)
        return max(len(values) for values in severities.values())

    assert spread(stable=True) == 1
    assert spread(stable=False) > 1


def test_official_splits_keep_patients_apart_unless_a_leak_is_asked_for() -> None:
    def torn(leak: float) -> int:
        splits = defaultdict(set)
        for case in plan(PhantomSpec("cxr-binary", 300, visits=4, split_leak=leak)):
            splits[case.patient].add(case.split)
        return sum(len(where) > 1 for where in splits.values())

    assert torn(0.0) == 0
    assert torn(0.5) > 10


def test_toggling_changes_truth_and_labels_with_the_findings() -> None:
    case = next(case for case in plan(PhantomSpec("cxr-binary", 60)) if case.truth["NORMAL"])
    ill = case.having("Consolidation", 0.5)
    assert ill.label == "PNEUMONIA"
    assert ill.without("Consolidation").label == "NORMAL"
    other = next(plan(PhantomSpec("cxr-multilabel", 1))).having("Edema", 0.4)
    assert other.truth["Edema"] == 1
    assert other.without("Edema").truth["Edema"] == 0
