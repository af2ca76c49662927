"""Findings about single images: unreadable, empty, odd in shape, negative, marked in a corner."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from secondread.prepare.material import LEFT_OUT, Finding, Material, many

TINY = 32
ODD_RATIO = 1.8


def unreadable(m: Material) -> Iterator[Finding]:
    facts = m.seen.facts
    for code, places in facts[facts["refused"].fillna("") != ""].groupby("refused"):
        files = m.rows["row_id"].iloc[places.index].tolist()
        reason = facts["reason"].iloc[places.index[0]]
        yield Finding(str(code), "error", f"{many(len(files), 'file')} not read: {reason}", files, LEFT_OUT)
    empty = m.rows["dropped"].fillna("").str.startswith("constant").to_numpy()
    if empty.any():
        files = m.rows["row_id"][empty].tolist()
        yield Finding(
            "constant",
            "warning",
            f"{many(len(files), 'image')} that show nothing: every pixel is the same",
            files,
            LEFT_OUT,
        )


def shapes(m: Material) -> Iterator[Finding]:
    if not m.seen.looked:
        return
    facts = m.seen.facts
    width, height = facts["width"].to_numpy(dtype=float), facts["height"].to_numpy(dtype=float)
    small = (np.minimum(width, height) < TINY) & m.readable
    if small.any() and not small[m.readable].all():
        files = m.rows["row_id"][small].tolist()
        yield Finding("tiny", "warning", f"{many(len(files), 'image')} smaller than {TINY} pixels", files, "kept")
    aspect = np.log(width / height)
    usual = float(np.nanmedian(aspect)) if m.readable.any() else 0.0
    away = (np.abs(aspect - usual) > np.log(ODD_RATIO)) & m.readable
    if away.any():
        files = m.rows["row_id"][away].tolist()
        what = "strips, crops or photographs"
        message = f"{many(len(files), 'image')} of an aspect far from the usual {np.exp(usual):.2f}: {what}"
        yield Finding("odd_aspect", "info", message, files, "kept; see train.fit (stretch, pad, crop)")


def polarity(m: Material) -> Iterator[Finding]:
    """Images that look like the negative of the others: they correlate with the mean picture the wrong way round."""
    if not m.seen.looked:
        return
    telling = np.flatnonzero(m.readable & (m.seen.facts["small_std"].fillna(0) > 1).to_numpy())
    if len(telling) < 20:
        return
    step = max(1, len(telling) // 4000)
    mean = m.seen.small[telling[::step]].mean(axis=0)
    centred = (mean - mean.mean()).reshape(-1) / max(float(mean.std()), 1e-9)
    alike = np.empty(len(telling))
    for start in range(0, len(telling), 2048):
        part = m.seen.small[telling[start : start + 2048]].reshape(-1, mean.size).astype(np.float32)
        spread = np.maximum(part.std(axis=1), 1e-6)
        alike[start : start + len(part)] = part @ centred.astype(np.float32) / mean.size / spread
    usual = float(np.median(alike))
    if usual < 0.45:
        return  # the images have too little in common to say which way round they belong
    places = telling[alike < -0.6 * usual]
    if len(places):
        files = m.rows["row_id"].iloc[places].tolist()
        message = f"{many(len(files), 'image')} that may be negatives of the others, or lie on white"
        yield Finding("inverted_polarity", "warning", message, files, "kept as they are")


def corner_marks(m: Material) -> Iterator[Finding]:
    """Burnt-in text and markers: bright, sharp things in the corners, more often in one class than in another."""
    if not m.exclusive or not m.seen.looked:
        return
    facts, label = m.seen.facts, m.label_of
    for corner, where in (("nw", "upper left"), ("ne", "upper right"), ("sw", "lower left"), ("se", "lower right")):
        marked = (facts[f"bright_{corner}"].fillna(0) > 0.004) & (facts[f"edges_{corner}"].fillna(0) > 0.004)
        share = marked[m.readable].groupby(label[m.readable].to_numpy()).mean()
        if len(share) > 1 and share.max() - share.min() > 0.2:
            told = ", ".join(f"{name} {value:.0%}" for name, value in share.items())
            files = m.rows["row_id"][(marked & m.readable).to_numpy()].tolist()
            message = f"bright marks in the {where} corner differ by class: {told}"
            yield Finding("corner_marks", "warning", message, files, "none; prepare.crop_border cuts them off")
