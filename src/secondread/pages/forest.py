"""Forest plots: differences to the baseline, or values of subgroups, with their intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from secondread.pages.style import BAD, GOOD, INK, NEUTRAL, SOFT, blank, nothing, styled, words

MARKER_OF = {"better": "^", "worse": "v", "no difference shown": "s", "too few cases": "x"}
COLOUR_OF = {"better": GOOD, "worse": BAD, "no difference shown": NEUTRAL, "too few cases": "#b0b7bd"}


@styled
def figure(rows: pd.DataFrame, title: str, zero: float | None = 0.0) -> Figure:
    """One line per row, under a heading per `group`; `zero` draws the line of no difference.

    `rows`: columns group, label, value, low, high and, where there is one, verdict (gives the colour).
    """
    rows = rows[np.isfinite(rows["value"].to_numpy(dtype=float))]
    if rows.empty:
        return nothing("There is nothing to compare.")
    groups = list(dict.fromkeys(rows["group"]))
    lines = len(rows) + len(groups)
    drawn = blank(6.4, 0.2 * lines + 0.75)
    axes = drawn.add_subplot()
    place, ticks = 0.0, []
    for group in groups:
        ticks.append((place, words(group, 44), True))
        place += 1
        for row in rows[rows["group"] == group].itertuples():
            told = str(getattr(row, "verdict", ""))
            colour, marker = COLOUR_OF.get(told, GOOD), MARKER_OF.get(told, "s")
            if np.isfinite(row.low) and np.isfinite(row.high):  # type: ignore[arg-type]
                axes.plot([row.low, row.high], [place, place], color=colour, lw=1.6)
            axes.plot([row.value], [place], marker=marker, ms=4.2, color=colour)
            ticks.append((place, words(row.label, 40), False))
            place += 1
    axes.set_yticks([tick[0] for tick in ticks], [tick[1] for tick in ticks])
    for text, (_, _, heading) in zip(axes.get_yticklabels(), ticks, strict=True):
        text.set_fontweight("bold" if heading else "normal")
        text.set_color(INK if heading else SOFT)
    if zero is not None:
        axes.axvline(zero, color=INK, lw=0.8)
    axes.set_ylim(place - 0.3, -0.7)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(words(title, 70))
    _key(drawn, rows)
    return drawn


def _key(drawn: Figure, rows: pd.DataFrame) -> None:
    if "verdict" not in rows:
        return
    here = [verdict for verdict in COLOUR_OF if verdict in set(rows["verdict"])]
    axes = drawn.axes[0]
    for verdict in here:
        axes.plot([], [], color=COLOUR_OF[verdict], marker=MARKER_OF[verdict], ms=4.2, label=verdict)
    axes_handles = axes.get_legend_handles_labels()
    drawn.legend(*axes_handles, loc="outside lower center", ncols=len(here))
