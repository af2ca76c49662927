"""Every figure: a table in, a figure out, whatever the names and however little the table holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from secondread.pages import (
    bars,
    confusion,
    curves,
    forest,
    gans,
    labels,
    pictures,
    reliability,
    speed,
    style,
    trade_offs,
)

HOSTILE = ["plain", "$x^2", "<script>alert(1)</script>", "肺炎 🫁", "two\nlines", "a" * 90]
ARMS, MODELS = HOSTILE[:3], HOSTILE[3:5]


def grid(**columns: object) -> pd.DataFrame:
    return pd.DataFrame([{"arm": arm, "model": model, **columns} for arm in ARMS for model in MODELS])


def points(lines: list[str]) -> pd.DataFrame:
    x = np.linspace(0, 1, 11)
    rows = [
        pd.DataFrame({"panel": model, "line": line, "x": x, "y": x**0.3, "low": x**0.4, "high": x**0.2})
        for model in MODELS
        for line in lines
    ]
    return pd.concat(rows).assign(prevalence=0.3)


def epochs() -> pd.DataFrame:
    told = {"lr": 1e-3, "train_loss": 0.5, "val_loss": 0.6, "train_accuracy": 0.7, "val_accuracy": 0.6}
    made = [grid(epoch=e, step=10 * e, member=m, **told) for e in (1, 2, 3) for m in ("s0", "s1")]
    return pd.concat(made, ignore_index=True).assign(val_recall=np.nan, val_auroc=0.8)


def decisions() -> pd.DataFrame:
    rows = [grid(truth=t, decision=d, count=3.0) for t in HOSTILE for d in HOSTILE]
    return pd.concat(rows, ignore_index=True)


def image() -> np.ndarray:
    return np.arange(64, dtype=np.uint8).reshape(8, 8)


FIGURES: dict[str, Callable[[], Figure]] = {
    "curves": lambda: curves.figure(epochs(), "plain"),
    "schedule": lambda: curves.schedule(epochs()),
    "reconstruction": lambda: curves.reconstruction(epochs().rename(columns={"arm": "coder"})),
    "confusion": lambda: confusion.figure(decisions(), HOSTILE),
    "labels apart": lambda: confusion.per_label(
        pd.concat([grid(tp=3, fp=1, fn=2, tn=9).assign(**{"class": name}) for name in HOSTILE]), HOSTILE
    ),
    "roc": lambda: trade_offs.roc(points(ARMS), "plain"),
    "precision_recall": lambda: trade_offs.precision_recall(points(ARMS)),
    "decision": lambda: trade_offs.decision(points([*ARMS, "treat all", "treat none"])),
    "bars": lambda: bars.figure(grid(metric="auroc", value=0.8, low=0.7, high=np.nan)),
    "spread": lambda: bars.spread(pd.concat([grid(split=s, value=0.5) for s in ("val", "test")]), "auroc"),
    "forest": lambda: forest.figure(
        grid(value=0.1, low=-0.1, high=0.3, verdict="better").rename(columns={"arm": "label", "model": "group"}), "x"
    ),
    "reliability": lambda: reliability.figure(
        pd.DataFrame({
            "panel": "$", "line": ["before", "after"], "predicted": 0.3, "observed": 0.2, "low": 0.1, "high": 0.4,
        })
    ),
    "labels": lambda: labels.distribution(
        pd.DataFrame([{"class": name, "split": s, "count": 5} for name in HOSTILE for s in ("train", "val", "test")])
    ),
    "correlation": lambda: labels.correlation(pd.DataFrame(np.eye(6) * np.nan, index=HOSTILE, columns=HOSTILE)),
    "samples": lambda: pictures.samples({"Right": [pictures.Sample(image(), HOSTILE[1], HOSTILE[2], 0.4, True)]}),
    "means": lambda: pictures.means({name: image().astype(float) for name in HOSTILE}, dict.fromkeys(HOSTILE, 3)),
    "gans": lambda: gans.figure(
        grid(metric="fid", value=3.0, low=1.0, high=5.0, floor=2.0).rename(columns={"arm": "gan", "model": "class"})
    ),
    "gan_training": lambda: gans.training(
        grid(step=50, fid=3.0, fid_floor=1.0, kid=0.2, kept=True).rename(columns={"arm": "gan", "model": "run"})
    ),
    "gan_losses": lambda: gans.losses(
        grid(step=50, **dict.fromkeys(gans.LOSSES, 0.5)).rename(columns={"arm": "gan", "model": "run"})
    ),
    "speed": lambda: speed.figure(
        pd.DataFrame([{
            "bundle": name, "engine": "$", "precision": "int8", "batch": 1, "threads": 2, "p50_ms": 3.0, "p95_ms": 4.0,
            "images_per_s": 9.0,
        } for name in HOSTILE])
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_with_hostile_names_is_drawn(name: str) -> None:
    before = dict(matplotlib.rcParams)
    drawn = FIGURES[name]()
    with matplotlib.rc_context(style.RC):
        drawn.draw_without_rendering()
    assert drawn.axes
    assert dict(matplotlib.rcParams) == before


EMPTY: dict[str, Callable[[], Figure]] = {
    "curves": lambda: curves.figure(epochs().iloc[:0]),
    "schedule": lambda: curves.schedule(pd.DataFrame({"arm": []})),
    "reconstruction": lambda: curves.reconstruction(pd.DataFrame()),
    "confusion": lambda: confusion.figure(decisions().iloc[:0], HOSTILE),
    "labels apart": lambda: confusion.per_label(grid(tp=1).iloc[:0], HOSTILE),
    "roc": lambda: trade_offs.roc(points(ARMS).iloc[:0]),
    "decision": lambda: trade_offs.decision(points(ARMS).iloc[:0]),
    "bars": lambda: bars.figure(grid(metric="auroc", value=0.8, low=0.7, high=0.9).iloc[:0]),
    "spread": lambda: bars.spread(grid(split="test", value=0.5).iloc[:0], "auroc"),
    "forest": lambda: forest.figure(pd.DataFrame({"group": ["a"], "label": ["b"], "value": [np.nan]}), "x"),
    "reliability": lambda: reliability.figure(pd.DataFrame({"panel": []})),
    "labels": lambda: labels.distribution(pd.DataFrame({"class": []})),
    "correlation": lambda: labels.correlation(pd.DataFrame([[1.0]], index=["a"], columns=["a"])),
    "samples": lambda: pictures.samples({"Right": []}),
    "means": lambda: pictures.means({}, {}),
    "gans": lambda: gans.figure(pd.DataFrame({"metric": []})),
    "gan_training": lambda: gans.training(pd.DataFrame()),
    "gan_losses": lambda: gans.losses(pd.DataFrame()),
    "speed": lambda: speed.figure(pd.DataFrame()),
}


def test_the_speeds_of_several_bundles_are_told_apart() -> None:
    row = {"engine": "onnxruntime", "precision": "fp32", "batch": 1, "threads": 2, "p50_ms": 3.0, "p95_ms": 4.0,
           "images_per_s": 9.0}  # fmt: skip
    for names in (["s/a/net"], ["s/a/net", "s/b/net"]):
        drawn = speed.figure(pd.DataFrame([row | {"bundle": name} for name in names]))
        shown = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
        assert len(set(shown)) == len(names)
        assert all((name in told) == (len(names) > 1) for name, told in zip(names, shown, strict=True))


@pytest.mark.parametrize("name", EMPTY)
def test_an_empty_table_gives_a_figure_that_says_so(name: str) -> None:
    drawn = EMPTY[name]()
    assert not drawn.axes
    assert drawn.texts[0].get_text()


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        style.save(FIGURES["forest"](), tmp_path / folder, "forest")
    for kind in ("png", "svg"):
        assert (tmp_path / "a" / f"forest.{kind}").read_bytes() == (tmp_path / "b" / f"forest.{kind}").read_bytes()


def test_a_grey_image_of_one_value_stays_on_the_scale_of_all_images() -> None:
    drawn = pictures.means({"dark": np.zeros((4, 4)), "light": np.full((4, 4), 255.0)}, {"dark": 1, "light": 1})
    assert [axes.images[0].get_clim() for axes in drawn.axes] == [(0, 255), (0, 255)]


def test_a_bar_below_zero_is_seen_with_its_whisker() -> None:
    drawn = bars.figure(pd.DataFrame({"arm": ["a"], "model": ["m"], "metric": ["MCC"], "value": [-0.2],
                                      "low": [-0.4], "high": [0.1]}))  # fmt: skip
    assert drawn.axes[0].get_ylim()[0] < -0.4


def test_pens_repeat_no_colour_without_another_dash() -> None:
    names = [f"arm {i}" for i in range(24)]
    pens = style.pens(names, baseline="arm 3")
    looks = [(pen.colour, str(pen.dash)) for pen in pens.values()]
    assert len(set(looks)) == len(names)


@pytest.mark.parametrize(
    ("given", "shown"),
    [("two\nlines", "two lines"), ("🫁", "□"), ("a" * 40, None), ("$x$", "$x$")],
)
def test_words_are_safe_in_a_figure(given: str, shown: str | None) -> None:
    made = style.words(given)
    assert len(made) <= 28
    assert shown is None or made == shown


def test_confusion_counts_every_pair() -> None:
    matrix = confusion.matrix_of(
        pd.DataFrame({"truth": ["a", "a", "b"], "decision": ["a", "b", "b"], "count": [4, 2, 7]}), ["a", "b", "c"]
    )
    assert matrix.tolist() == [[4, 2, 0], [0, 7, 0], [0, 0, 0]]


def test_what_is_not_defined_is_no_bar_of_height_zero() -> None:
    table = grid(metric="precision", value=0.5, low=0.4, high=0.6)
    table.loc[0, ["value", "low", "high"]] = np.nan
    assert [text.get_text() for text in bars.figure(table).axes[0].texts] == ["–"]


def test_every_row_of_panels_says_what_goes_up() -> None:
    names = [f"class {at}" for at in range(9)]
    bins = pd.DataFrame({"panel": names, "line": "after", "predicted": 0.5, "observed": 0.5, "low": 0.4, "high": 0.6})
    benefit = pd.DataFrame({"panel": names, "line": "arm", "x": 0.5, "y": 0.1})
    for drawn in (reliability.figure(bins), trade_offs.decision(benefit)):
        told = [bool(axes.get_ylabel()) for axes in drawn.axes if axes.get_visible()]
        assert told == [True, False, False, False] * 2 + [True]


def test_images_are_counted_under_the_bars_of_labels() -> None:
    rates = grid(tp=3, fp=1, fn=2, tn=9).assign(**{"class": "a"})
    drawn = confusion.per_label(rates, ["a"])
    assert [axes.get_xlabel() for axes in drawn.axes if axes.get_visible()] == ["", "", *["images"] * 4]


def test_verdicts_differ_in_more_than_colour() -> None:
    verdicts = list(forest.COLOUR_OF)
    assert len({forest.MARKER_OF[verdict] for verdict in verdicts}) == len(verdicts)


def test_labels_of_images_without_a_split_need_no_key() -> None:
    counts = pd.DataFrame({"class": ["a", "b"], "split": "all", "count": [3, 4]})
    assert labels.distribution(counts).legends == []
    both = pd.concat([counts.assign(split="train"), counts.assign(split="test")])
    assert len(labels.distribution(both).legends) == 1


def test_an_arm_that_treats_is_drawn_as_an_arm() -> None:
    drawn = trade_offs.decision(points(["plain", "treat early", "treat all", "treat none"]), "plain")
    colours = {line.get_label(): line.get_color() for line in drawn.axes[0].get_lines()}
    assert colours["treat all"] == colours["treat none"] == style.SOFT
    assert colours["treat early"] in style.COLOURS


def test_the_key_of_forty_arms_leaves_their_panels_as_they_are() -> None:
    heights = []
    for count in (2, 40):
        drawn = trade_offs.roc(points([f"arm {turn} with a rather long name" for turn in range(count)]))
        drawn.draw_without_rendering()
        heights.append([axes.get_window_extent().height for axes in drawn.axes])
        key = drawn.legends[0].get_window_extent()
        assert not any(key.overlaps(axes.get_window_extent()) for axes in drawn.axes)
    np.testing.assert_allclose(heights[1], heights[0], rtol=0.1)


def test_forty_arms_have_a_pen_each() -> None:
    drawn = style.pens([f"arm {turn}" for turn in range(40)], "arm 0")
    assert len(set(drawn.values())) == 40


def test_matrices_of_many_arms_go_on_below() -> None:
    arms, classes = [f"arm {turn}" for turn in range(20)], ["a", "b", "c"]
    counts = pd.DataFrame([
        {"arm": arm, "model": model, "truth": t, "decision": d, "count": 3}
        for model in ("resnet18", "vgg16") for arm in arms for t in classes for d in classes
    ])  # fmt: skip
    drawn = confusion.figure(counts, classes)
    assert drawn.get_size_inches()[0] < 10.5
    shown = [axes for axes in drawn.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == arms * 2


def test_arms_with_a_network_of_their_own_are_told_apart_by_its_name() -> None:
    pairs, classes = [("codes", "resnet18"), ("pixels", "vgg16")], ["a", "b"]
    counts = pd.DataFrame([
        {"arm": arm, "model": model, "truth": t, "decision": d, "count": 3}
        for arm, model in pairs for t in classes for d in classes
    ])  # fmt: skip
    shown = [axes for axes in confusion.figure(counts, classes).axes if axes.get_visible()]
    assert [(axes.get_title(loc="left"), axes.get_ylabel()) for axes in shown] == pairs
    assert all(axes.yaxis.get_tick_params()["labelleft"] for axes in shown)
    assert all(axes.xaxis.get_tick_params()["labelbottom"] for axes in shown)
