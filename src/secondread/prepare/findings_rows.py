"""Findings about rows together: duplicates, label conflicts, patients, given splits, classes, sites."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from secondread.prepare.clean import conflicting_contents
from secondread.prepare.material import (
    LEFT_OUT,
    TOGETHER,
    Finding,
    Material,
    crossing,
    files_of,
    grouped,
    many,
)

FEW_FOR_VALIDATION, FEW_PER_CLASS = 100, 10
FEW_IN_CLASS = 30
MOSTLY = 0.5
"""Share of the images from which one patient is told."""
APART = 0.2
"""Difference of two shares that is worth a word."""
RADIOGRAPHS = {"CR", "DX", "RG"}
"""Modalities of one kind of picture."""


def duplicates(m: Material) -> Iterator[Finding]:
    rows, label = m.rows, m.label_of
    exact = grouped(m.contents, rows)
    if exact:
        extra = sum(len(group) - 1 for group in exact)
        done = LEFT_OUT if m.drops_duplicates else TOGETHER
        groups = files_of(rows, exact)
        message = f"{many(len(exact), 'group')} of files with the same bytes ({extra} superfluous)"
        yield Finding("exact_duplicates", "warning", message, [f for g in groups for f in g], done, groups)
    pixel_ids = m.seen.facts["pixel_id"].where(m.readable) if m.seen.looked else rows["content_id"]
    of_pixels, kept = pixel_ids.set_axis(rows.index), rows["dropped"].isna().to_numpy()
    apart = of_pixels.isin(crossing(of_pixels, rows["content_id"])).to_numpy()
    same = [group for group in grouped(of_pixels, rows) if apart[group[0]] and kept[group].all()]
    if same:
        groups = files_of(rows, same)
        message = f"{many(len(same), 'group')} of different files with the same pixels (saved again, or other metadata)"
        yield Finding("same_pixels", "warning", message, [f for g in groups for f in g], TOGETHER, groups)
    yield from _near(m)
    shown = m.contents.notna().to_numpy()
    clash = conflicting_contents(rows[shown], m.labels[shown])
    if clash:
        clashing = rows["content_id"].isin(clash).to_numpy()
        places = [group for group in exact if clashing[group[0]]]
        groups = files_of(rows, places)
        done = LEFT_OUT if m.drops_duplicates else "kept together; one of the labels is wrong"
        message = f"{many(len(clash), 'image')} with copies under different labels"
        yield Finding("label_conflicts", "error", message, [f for g in groups for f in g], done, groups)
    clusters = rows["duplicate_cluster"]
    differing = clusters.isin(crossing(clusters, label)).to_numpy()
    differ = [group for group in near_groups(m) if differing[group[0]]]
    if differ:
        groups = files_of(rows, differ)
        message = f"{many(len(differ), 'group')} of near duplicates under different labels"
        yield Finding("near_label_conflicts", "warning", message, [f for g in groups for f in g], TOGETHER, groups)


def _near(m: Material) -> Iterator[Finding]:
    found = near_groups(m)
    if found:
        kinds = pd.Series(m.cleaned.near.kind).value_counts()
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        groups = files_of(m.rows, found)
        message = f"{many(len(found), 'group')} of near duplicates (pairs that join them: {told})"
        yield Finding("near_duplicates", "warning", message, [f for g in groups for f in g], TOGETHER, groups)


def near_groups(m: Material) -> list[list[int]]:
    """Clusters that a near-duplicate pair holds together."""
    linked = set(m.cleaned.near.pairs.reshape(-1).tolist())
    clusters = grouped(m.rows["duplicate_cluster"], m.rows)
    return [group for group in clusters if linked & set(group)]


def patients(m: Material) -> Iterator[Finding]:
    rows, known = m.rows, m.rows["patient"].notna()
    if not known.any():
        message = "nothing names the patient: that no patient stands on both sides of a split cannot be verified"
        yield Finding("no_patients", "warning", message, [], "duplicate clusters act as patients")
    elif not known.all():
        message = f"{int((~known).sum())} of {len(rows)} images do not name their patient"
        yield Finding("patients_partly_known", "info", message, [], "their duplicate clusters act as patients")
    yield from _mostly_one_patient(rows["patient"])
    several = crossing(rows["patient"], m.label_of) if m.exclusive else []
    if several:
        files = rows["row_id"][rows["patient"].isin(several)].tolist()
        message = f"{many(len(several), 'patient')} with images in several classes"
        yield Finding("patients_across_classes", "info", message, files, TOGETHER)


def _mostly_one_patient(named: pd.Series) -> Iterator[Finding]:
    """What anonymisation writes instead of a patient makes one of many."""
    counts = named.value_counts()
    if len(named) < 2 or counts.empty or counts.iloc[0] < MOSTLY * len(named):
        return
    if len(counts) > 1 and counts.iloc[0] < FEW_IN_CLASS:
        return
    share = "all" if counts.iloc[0] == len(named) else f"{counts.iloc[0]} of"
    message = (
        f"{share} {len(named)} images are of one patient ({counts.index[0]}), so that one part of a split gets them"
    )
    done = (
        "kept together. If anonymisation wrote that name: gather.patient: COLUMN, a pattern with a group, "
        "StudyInstanceUID (in DICOM files; keeps examinations together) or none"
    )
    yield Finding("one_patient", "warning", message, [], done)


def given_splits(m: Material) -> Iterator[Finding]:
    rows = m.rows
    given = rows["split_given"]
    if given.isna().all():
        return
    for column, code, what in (("patient", "patients_across_splits", "patient"),
                               ("duplicate_cluster", "duplicates_across_splits", "group of duplicates")):  # fmt: skip
        several = crossing(rows[column], given)
        if several:
            files = rows["row_id"][rows[column].isin(several)].tolist()
            message = f"the given split puts {many(len(several), what)} on both sides"
            yield Finding(code, "error", message, files, "use split: grouped, or official with crossing: drop")
    told = ", ".join(f"{name} {count}" for name, count in given.value_counts().items())
    yield Finding(
        "given_split", "info", f"a given split ({told}) was compared by bytes, by near duplicates and by patient"
    )
    val = (given == "val").to_numpy()
    if val.any():
        least = int(np.nanmin((m.labels[val] == 1).sum(axis=0)))
        if val.sum() < FEW_FOR_VALIDATION or least < FEW_PER_CLASS:
            message = f"the given validation part of {int(val.sum())} images is too small to choose anything by"
            files = rows["row_id"][val].tolist()
            yield Finding("small_validation", "warning", message, files, "set prepare.split.val to cut a larger one")


def class_sizes(m: Material) -> Iterator[Finding]:
    counts = (m.labels[m.readable] == 1).sum(axis=0)
    few = [f"{name} ({count})" for name, count in zip(m.classes, counts, strict=True) if count < FEW_IN_CLASS]
    if few:
        message = f"classes with fewer than {FEW_IN_CLASS} images: {', '.join(few)}; scores on them are very uncertain"
        yield Finding("small_classes", "warning", message)


def kinds(m: Material) -> Iterator[Finding]:
    """What was exported together may be several kinds of pictures: side views, captures of a screen."""
    for column, code in (("x_modality", "several_modalities"), ("view", "several_views")):
        said = m.rows[column][m.readable] if column in m.rows else pd.Series(dtype=object)
        if said.nunique() > 1:
            counts = {**said.value_counts(), "not said": int(said.isna().sum())}
            mixed = column == "x_modality" and not RADIOGRAPHS.issuperset(said.dropna())
            told = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
            message = f"{code.replace('_', ' ')}: {told}"
            option, by_header = "modalities" if column == "x_modality" else "views", "x_modality" in m.rows
            how = f"gather.source: {{name: dicom, {option}: […]}} keeps" if by_header else "a table can name"
            done = f"kept; {how} those that count"
            yield Finding(code, "warning" if mixed else "info", message, [], done)


def sources(m: Material) -> Iterator[Finding]:
    """A class that comes from one site, or a site that has one class only."""
    site = m.rows["site"]
    if not m.exclusive or site.nunique() < 2:
        return
    table = pd.crosstab(site, m.label_of)
    alone, strength = from_one_site(table), cramers_v(table.to_numpy())
    if alone or strength > 0.5:
        message = f"the site goes with the class (Cramér's V {strength:.2f})"
        message += f"; from one site only: {', '.join(alone)}" if alone else ""
        yield Finding("source_is_class", "warning", message, [], "none; see evaluate.left_out")


def from_one_site(table: pd.DataFrame) -> list[str]:
    """Classes (columns) of which nearly all images are from one site (row) that has markedly less of the others."""
    alone, counts = [], table.to_numpy(dtype=float)
    for k, name in enumerate(table.columns):
        own, others = counts[:, k], np.delete(counts, k, axis=1).sum(axis=1)
        share, rest = own / max(own.sum(), 1), others / max(others.sum(), 1)
        most = int(share.argmax())
        if share[most] > 0.95 and share[most] - rest[most] > APART:
            alone.append(str(name))
    return alone


def cramers_v(table: NDArray[np.int64]) -> float:
    """Association of two names by their table of counts: 0 as by chance, 1 one determines the other (Cramér 1946).

    Corrected for what many sites of few images have by chance alone (Bergsma 2013).
    """
    total = float(table.sum())
    if total < 2 or min(table.shape) < 2:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / total
    chi = float(((table - expected) ** 2 / np.maximum(expected, 1e-12)).sum())
    freedom = np.array(table.shape) - 1.0
    by_chance = float(freedom.prod()) / (total - 1)
    largest = float((freedom - freedom**2 / (total - 1)).min())
    return float(np.sqrt(max(chi / total - by_chance, 0.0) / largest)) if largest > 0 else 0.0
