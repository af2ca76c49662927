from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from secondread.core.errors import WrongRequest
from secondread.images.phantom import PRESETS, PhantomSpec, brain, contact_sheet, generate, plan, render, tumours
from secondread.images.phantom.acquisition import SCATTER_REACH
from secondread.images.phantom.canvas import Strokes, laid_on, positioned, texture
from secondread.images.phantom.cohort import Case
from secondread.images.phantom.drawing import chest_attenuation
from secondread.images.phantom.findings import CARDIOMEGALY, CHEST_FINDINGS

SIZE = 84
CHEST = PhantomSpec("cxr-multilabel", 6, seed=2, size=SIZE)
BRAIN = PhantomSpec("mri-binary", 8, seed=2, size=SIZE)
FINDINGS = [*CHEST_FINDINGS, CARDIOMEGALY]


def _healthy(spec: PhantomSpec) -> Case:
    case = next(plan(spec)).at("A")
    for name in list(case.findings):
        case = case.without(name)
    return case


def _grown(mask: NDArray[np.bool_], pixels: float) -> NDArray[np.bool_]:
    return np.asarray(ndimage.distance_transform_edt(~mask) <= pixels)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_the_same_spec_gives_the_same_pixels_whatever_n_is(preset: str) -> None:
    first = list(generate(PhantomSpec(preset, 3, seed=7, size=48)))
    again = list(generate(PhantomSpec(preset, 5, seed=7, size=48)))
    for one, other in zip(first, again, strict=False):
        assert np.array_equal(one.pixels, other.pixels)
        assert one.masks.keys() == other.masks.keys()
        assert all(np.array_equal(one.masks[name], other.masks[name]) for name in one.masks)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_images_are_pictures_in_range_with_contrast_and_masks_of_their_size(preset: str) -> None:
    spec = PhantomSpec(preset, 6, size=SIZE)
    for drawn in generate(spec):
        assert drawn.image.dtype == np.uint8
        assert drawn.pixels.dtype == np.float32
        assert drawn.image.shape == drawn.pixels.shape == (SIZE, SIZE)
        assert np.array_equal(drawn.image, np.rint(drawn.pixels * 255))
        assert 0.0 <= drawn.pixels.min() < drawn.pixels.max() <= 1.0
        assert drawn.pixels.std() > 0.1
        assert all(mask.shape == (SIZE, SIZE) and mask.dtype == bool for mask in drawn.masks.values())
        assert set(drawn.severity) <= set(drawn.masks)
        assert all(drawn.masks[name].any() for name in drawn.severity)


def test_two_seeds_two_patients_and_two_visits_differ() -> None:
    spec = PhantomSpec("cxr-binary", 8, visits=2, size=48)
    images = [drawn.image for drawn in generate(spec)]
    images.append(next(generate(PhantomSpec("cxr-binary", 1, seed=1, size=48))).image)
    for i, one in enumerate(images):
        assert all(not np.array_equal(one, other) for other in images[:i])


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_finding_changes_the_attenuation_where_its_mask_is_and_nothing_far_from_it(finding: str) -> None:
    healthy = _healthy(CHEST)
    plain, reference, _, _ = chest_attenuation(CHEST, healthy)
    ill, same_reference, masks, _ = chest_attenuation(CHEST, healthy.having(finding, 0.8))
    mask, change = masks[finding], np.abs(ill - plain)
    assert np.array_equal(reference, same_reference)
    assert 4 < mask.sum() < 0.4 * mask.size
    assert change[mask].mean() > (0.0 if finding == CARDIOMEGALY else 10 * change[~mask].mean())
    assert change[~_grown(mask, SIZE / 5)].max(initial=0.0) < 0.03


@pytest.mark.parametrize("finding", FINDINGS)
def test_a_toggled_finding_leaves_pixels_outside_its_influence_as_they_were(finding: str) -> None:
    healthy = _healthy(CHEST)
    changed = np.abs(chest_attenuation(CHEST, healthy.having(finding))[0] - chest_attenuation(CHEST, healthy)[0]) > 1e-6
    reach = _grown(changed, 2.0**0.5 * SCATTER_REACH * SIZE + 4)
    plain, ill = render(CHEST, healthy), render(CHEST, healthy.having(finding))
    difference = np.abs(plain.pixels - ill.pixels)
    assert difference[~reach].max(initial=0.0) < 1e-3
    assert difference.max() > 0.01


@pytest.mark.parametrize("toggled", FINDINGS)
def test_a_toggled_finding_moves_no_other(toggled: str) -> None:
    case = _healthy(CHEST)
    for name in CHEST_FINDINGS:
        case = case.having(name, 0.6)
    case = case.without(toggled) if toggled != CARDIOMEGALY else case
    with_it = render(CHEST, case.having(toggled, 0.6))
    without = render(CHEST, case.without(toggled))
    hearts = with_it.masks["heart"] | without.masks["heart"]
    for name in set(CHEST_FINDINGS) - {toggled}:
        moved = with_it.masks[name] ^ without.masks[name]
        assert not (moved & ~_grown(hearts, 4.0)).any()


def test_lesions_keep_off_the_heart() -> None:
    spec = PhantomSpec("cxr-multilabel", 35, size=56, visits=1)
    for case in plan(spec):
        for name in ("Lung Lesion", "Consolidation"):
            drawn = render(spec, case.having(name, 0.9))
            mask = drawn.masks[name]
            assert (mask & drawn.masks["heart"]).sum() <= 0.1 * mask.sum()


def test_every_finding_can_be_drawn_in_every_patient_and_is_seen_in_its_mask() -> None:
    for preset in ("cxr-binary", "cxr-multilabel"):
        spec = PhantomSpec(preset, 50, size=28, visits=1, seed=4)
        for case in plan(spec):
            for name in FINDINGS:
                case = case.having(name, 0.9)
            masks = render(spec, case).masks
            assert all(masks[name].any() for name in FINDINGS)
    spec = PhantomSpec("mri-binary", 80, size=28, visits=1, seed=4)
    for case in plan(spec):
        assert render(spec, case.having(tumours.TUMOUR, 0.25)).masks[tumours.TUMOUR].any()


def test_another_site_leaves_the_anatomy_and_the_findings() -> None:
    case = _healthy(CHEST).having("Consolidation", 0.9)
    drawn = {site: render(CHEST, case.at(site)) for site in "ABC"}
    for site in "BC":
        for name, mask in drawn["A"].masks.items():
            assert np.array_equal(mask, drawn[site].masks[name])
        clear = ~drawn[site].masks.get("marker", np.zeros((SIZE, SIZE), bool))
        assert np.corrcoef(drawn["A"].pixels[clear], drawn[site].pixels[clear])[0, 1] > 0.95
        assert not np.array_equal(drawn["A"].image, drawn[site].image)


def test_only_site_b_burns_a_marker_in_and_it_covers_what_its_mask_says() -> None:
    for spec in (CHEST, BRAIN):
        case = next(plan(spec))
        marks = {site: render(spec, case.at(site)).masks.get("marker") for site in "ABC"}
        assert marks["A"] is None
        assert marks["C"] is None
        assert marks["B"] is not None
        assert 0.01 < marks["B"].mean() < 0.12
        assert render(spec, case.at("B")).pixels[marks["B"]].max() > 0.8


def test_a_tumour_changes_nothing_outside_its_reach() -> None:
    case = next(case for case in plan(BRAIN) if case.findings).at("A")
    ill, healthy = render(BRAIN, case), render(BRAIN, case.without(tumours.TUMOUR))
    head = brain.head_of(BRAIN.root, case.patient)
    draw = np.random.default_rng(0)
    mask = ill.masks[tumours.TUMOUR]
    widest = max(tumours.draw_mass(head, draw, 1.0).reach for _ in range(100)) * SIZE / 2.0
    far = ~_grown(mask, 2.0 * widest)
    centre = ndimage.center_of_mass(mask)
    rows, columns = np.indices(mask.shape)
    far |= np.hypot(rows - centre[0], columns - centre[1]) > widest + 6
    assert np.array_equal(ill.pixels[far], healthy.pixels[far])
    assert np.abs(ill.pixels - healthy.pixels)[mask].mean() > 0.03


def test_anatomy_does_not_depend_on_the_size_of_the_picture() -> None:
    for spec in (CHEST, BRAIN):
        case = next(plan(spec))
        large = render(PhantomSpec(spec.preset, 1, seed=2, size=2 * SIZE), case).pixels
        halved = large.reshape(SIZE, 2, SIZE, 2).mean(axis=(1, 3))
        assert np.corrcoef(halved.ravel(), render(spec, case).pixels.ravel())[0, 1] > 0.98


def test_a_texture_moves_with_the_anatomy() -> None:
    pattern = texture(np.random.default_rng(0), 2.0, 1.0)
    still = positioned(SIZE, 0.0, 1.0, (0.0, 0.0), (1.0, 1.0))
    moved = positioned(SIZE, 0.0, 1.0, (10 / SIZE, -6 / SIZE), (1.0, 1.0))  # 5 pixels to the left, 3 down
    turned = positioned(SIZE, 90.0, 1.0, (0.0, 0.0), (1.0, 1.0))
    plain = laid_on(still, pattern)
    assert np.allclose(laid_on(moved, pattern)[3:, :-5], plain[:-3, 5:], atol=1e-4)
    assert np.allclose(laid_on(turned, pattern), np.rot90(plain), atol=1e-4)


def test_strokes_lie_where_their_points_are_and_are_as_dense_as_asked() -> None:
    frame = positioned(SIZE, 7.0, 1.1, (0.1, -0.05), (1.0, 1.0))
    strokes = Strokes()
    strokes.path(np.array([[-0.5, 0.2], [0.5, 0.2]]), 0.3, 0.08)
    drawn = strokes.drawn(frame)
    inside = (np.abs(frame.Y - 0.2) < 0.01) & (np.abs(frame.X) < 0.35)
    assert drawn[inside] == pytest.approx(0.3, rel=0.1)
    outside = (np.abs(frame.Y - 0.2) > 0.16) | (np.abs(frame.X) > 0.7)
    assert np.abs(drawn[outside]).max() < 0.02


def test_contrast_is_a_knob_of_the_findings_alone() -> None:
    def change(contrast: float) -> float:
        spec = PhantomSpec("cxr-multilabel", 1, seed=2, size=SIZE, contrast=contrast)
        healthy = _healthy(spec)
        ill = chest_attenuation(spec, healthy.having("Consolidation", 0.8))[0]
        return float(np.abs(ill - chest_attenuation(spec, healthy)[0]).sum())

    assert change(0.0) == 0.0
    assert change(2.0) == pytest.approx(2 * change(1.0), rel=0.01)


def test_stable_findings_stay_in_their_place() -> None:
    def overlap(stable: bool) -> float:
        spec = PhantomSpec("cxr-multilabel", 1, size=SIZE, visits=9, stable_findings=stable, jitter=0.2)
        cases = [case for case in plan(PhantomSpec("cxr-multilabel", 40, visits=9)) if case.visit < 2]
        pairs = [(a, b) for a, b in pairwise(cases) if a.patient == b.patient][:8]
        masks = [
            [render(spec, case.having("Lung Lesion", 0.9)).masks["Lung Lesion"] for case in pair] for pair in pairs
        ]
        return float(np.mean([(a & b).sum() / (a | b).sum() for a, b in masks]))

    assert overlap(stable=True) > 0.4 > overlap(stable=False)


def test_a_finding_that_the_body_does_not_have_is_refused() -> None:
    with pytest.raises(WrongRequest, match="Gallstone"):
        render(CHEST, next(plan(CHEST)).having("Gallstone"))
    with pytest.raises(WrongRequest, match="Edema"):
        render(BRAIN, next(plan(BRAIN)).having("Edema"))
    with pytest.raises(WrongRequest, match="no site 'Z'"):
        render(CHEST, next(plan(CHEST)).at("Z"))


def test_the_contact_sheet_is_a_picture_of_at_most_400_kb(tmp_path: Path) -> None:
    path = contact_sheet(tmp_path / "sheet.png")
    assert path.stat().st_size <= 400_000
    with Image.open(path) as page:
        assert page.size[0] > 1000
        assert np.asarray(page.convert("L")).std() > 40
