"""Plots of a what-if, as SVG to stand in a page: matplotlib, of the extra `plot`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from refrain.ops.terminal.figures import new_figure
from refrain.ops.whatif.figures import categories_of, totals_of
from refrain.ops.whatif.run import WhatIf
from refrain.ops.whatif.totals import BUCKETS, GRID, Tally

SIZE_INCHES = (5.0, 3.4)
"""Narrow, so that the letters can be read on a telephone."""
LINES_MAX = 6
"""Policies that one plot shows."""
UNITS_MS = (("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000))
UNITS_LEAST = 2
"""A time that is told in a unit lasts so many of it at least; a shorter one is told in seconds."""
HEADROOM = 1.35
"""Of the bars, for the legend above them."""


def hits_over_time(found: WhatIf) -> str:
    """The share of hits in each part of the time, a line a policy."""
    length_ms = max(1, found.span.last_ms - found.span.first_ms)
    unit, unit_ms = _unit(length_ms)
    figure, axes = _axes("hits over time", f"{unit} since its start", "share of hits")
    width = length_ms / BUCKETS / unit_ms
    for number, tally in enumerate(_shown(found)):
        places = [at for at in range(BUCKETS) if tally.asked_by_time[at]]
        shares = [tally.hits_by_time[at] / tally.asked_by_time[at] for at in places]
        axes.plot([(at + 0.5) * width for at in places], shares, label=tally.name, linewidth=1.5, color=f"C{number}")
    axes.set_ylim(0, 1)
    return _svg(figure, axes, "hits")


def saved_against_false(found: WhatIf) -> str:
    """Time that hits save against hits with another answer than the model's, by the similarity asked of them."""
    figure, axes = _axes("saved time against other answers", "hits with another answer", "models' time saved (s)")
    # A policy has one colour in all plots; the first is of what was recorded.
    for number, tally in enumerate(_shown(found)[1:], start=1):
        points = [tally.above(threshold) for threshold in GRID]
        used = sorted({(false, saved / 1_000) for saved, false in points})
        line = {"label": tally.name, "color": f"C{number}"}
        axes.plot(*zip(*used, strict=True), **line, marker="o", markersize=3, linewidth=1.2)
    return _svg(figure, axes, "saved")


def room_by_category(found: WhatIf) -> str:
    """Entries at the end, a bar a policy, by category."""
    figure, axes = _axes("room by category", "", "entries at the end")
    tallies = _shown(found)
    names = [tally.name for tally in tallies]
    bottom = [0] * len(tallies)
    for category in categories_of(found):
        counts = [totals_of(tally, category).entries for tally in tallies]
        if any(counts):
            axes.bar(range(len(names)), counts, bottom=bottom, label=category, width=0.6)
        bottom = [below + count for below, count in zip(bottom, counts, strict=True)]
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right")
    axes.set_ylim(0, max(1, *bottom) * HEADROOM)
    return _svg(figure, axes, "room")


def _shown(found: WhatIf) -> Sequence[Tally]:
    return [found.recorded, *found.alternatives][:LINES_MAX]


def _unit(length_ms: float) -> tuple[str, int]:
    """The unit in which a time of this length is told, and its milliseconds."""
    return next(((name, ms) for name, ms in UNITS_MS if length_ms >= UNITS_LEAST * ms), ("seconds", 1_000))


def _axes(title: str, x: str, y: str) -> tuple[Any, Any]:
    figure = new_figure(*SIZE_INCHES)
    axes = figure.add_subplot()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    return figure, axes


def _svg(figure: Any, axes: Any, salt: str) -> str:
    """The figure as an SVG element: without the lines before it, which name a place on the network."""
    import matplotlib

    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small")
    text = io.StringIO()
    # Ids of several figures on one page must not be the same.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}):
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace('id="figure_1"', f'id="figure-{salt}"')
