"""Precision-recall plot."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from refrain.ops.terminal.figures import new_figure, save

SIZE_INCHES = (7.0, 5.0)

Curve = tuple[list[float], list[float]]
"""Recall and precision, point by point."""


def draw(curves: Mapping[str, Curve], title: str, path: Path) -> None:
    """Draw a PNG with one line a stage. Raises WrongSetup without matplotlib, BadInput for a path that cannot be
    written.
    """
    figure = new_figure(*SIZE_INCHES)
    axes = figure.add_subplot()
    for name, (recalls, precisions) in curves.items():
        axes.plot(recalls, precisions, label=name, linewidth=1.5)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    save(figure, path)
