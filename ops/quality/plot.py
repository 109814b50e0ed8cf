"""Precision-recall plot. matplotlib is in the extra `plot`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from refrain.streams.errors import BadInput, WrongSetup, install_hint

SIZE_INCHES = (7.0, 5.0)
DOTS_PER_INCH = 150

Curve = tuple[list[float], list[float]]
"""Recall and precision, point by point."""


def check_plot() -> None:
    """Raises WrongSetup where matplotlib is missing: before the work whose result it would draw."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise WrongSetup(f"--plot needs matplotlib: {install_hint('plot')}") from error


def draw(curves: Mapping[str, Curve], title: str, path: Path) -> None:
    """Draw a PNG with one line a stage. Raises WrongSetup without matplotlib, BadInput for a path that cannot be
    written.
    """
    check_plot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own: pyplot would keep it, and look for a screen.
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, (recalls, precisions) in curves.items():
        axes.plot(recalls, precisions, label=name, linewidth=1.5)
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="recall", ylabel="precision", title=title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror or error}") from error
