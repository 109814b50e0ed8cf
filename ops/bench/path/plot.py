"""Plot of `bench path`: CPU time a request by stage, and latencies of hits."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from refrain.ops.terminal.figures import new_figure, save

SIZE_INCHES = (9.0, 4.5)
CPU = {
    "echo": "cpu_ms_a_request_echo",
    "path": "cpu_ms_a_request",
    "path, fastest": "cpu_ms_a_request_fastest",
    "real embedder": "cpu_ms_a_request_real_embedder",
    "real embedder,\nfastest": "cpu_ms_a_request_real_embedder_fastest",
}
"""Bars of CPU time, and the figures that they show."""
LATENCIES = {"echo": "echo", "hit": "hit", "hit, real\nembedder": "hit_real_embedder"}


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """Draw the figures of a run as a PNG. Raises WrongSetup without matplotlib, BadInput for a path that cannot be
    written.
    """
    figure = new_figure(*SIZE_INCHES)
    cpu, latency = figure.subplots(1, 2)
    _draw_cpu(cpu, {name: figures[key] for name, key in CPU.items() if key in figures})
    _draw_latencies(latency, figures)
    save(figure, path)


def _draw_cpu(axes: Any, bars: Mapping[str, Mapping[str, float]]) -> None:
    """A bar a run, stacked by stage: the stages of all runs in the same colours."""
    bottoms = dict.fromkeys(bars, 0.0)
    for stage in dict.fromkeys(stage for bar in bars.values() for stage in bar):
        heights = [bar.get(stage, 0.0) for bar in bars.values()]
        axes.bar(list(bars), heights, bottom=list(bottoms.values()), label=stage, width=0.6)
        bottoms = {name: bottoms[name] + height for name, height in zip(bars, heights, strict=True)}
    axes.set(ylabel="CPU ms a request", title="CPU time by stage")
    axes.tick_params(axis="x", labelrotation=20)
    axes.legend(fontsize="small")


def _draw_latencies(axes: Any, figures: Mapping[str, Any]) -> None:
    for percent, width in ((99, 0.6), (50, 0.35)):
        found = {name: figures.get(f"{key}_p{percent}_ms") for name, key in LATENCIES.items()}
        shown = {name: value for name, value in found.items() if value is not None}
        axes.bar(list(shown), list(shown.values()), width=width, label=f"p{percent}")
    axes.set(ylabel="ms", title="Latency of a hit", yscale="log")
    axes.legend(fontsize="small")
