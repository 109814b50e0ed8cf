"""Figures in files: matplotlib, of the extra `plot`, without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from refrain.streams.errors import FileUnwritable, WrongSetup, install_hint

DOTS_PER_INCH = 150


def check_plot() -> None:
    """Raises WrongSetup where matplotlib is missing: before the work whose result it would draw."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise WrongSetup(f"--plot needs matplotlib: {install_hint('plot')}") from error


def new_figure(width: float, height: float) -> Any:
    """A figure of that size (inches). Raises WrongSetup without matplotlib."""
    check_plot()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A figure of its own: pyplot would keep it, and look for a screen.
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: Path) -> None:
    """Write a figure as a PNG. Raises FileUnwritable for a path that cannot be written."""
    try:
        figure.savefig(path, format="png")
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
