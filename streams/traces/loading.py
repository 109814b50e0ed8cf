"""The traces of a process, as the settings say: off, or sent to a collector."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from refrain.streams.errors import WrongSetup, install_hint
from refrain.streams.settings import Settings
from refrain.streams.traces.interface import OFF, Traces

if TYPE_CHECKING:
    from refrain.streams.metrics import Metrics
    from refrain.streams.traces.export import Exporting


@contextmanager
def traces_of(
    settings: Settings, processor: str, *, is_guest: bool = False, metrics: Metrics | None = None
) -> Iterator[Traces]:
    """The traces of a processor while the block lasts; a guest in somebody's process lets the library's log be.

    `metrics` count the spans that are lost.

    Raises WrongSetup where they are on and the extra is missing.
    """
    exporting = begin_exporting(settings, processor, is_guest=is_guest, metrics=metrics)
    try:
        yield OFF if exporting is None else exporting.traces
    finally:
        if exporting is not None:
            exporting.close()


def begin_exporting(
    settings: Settings, processor: str, *, is_guest: bool = False, metrics: Metrics | None = None
) -> Exporting | None:
    """The spans of a processor, to be closed; None where traces are off. As `traces_of`."""
    if not settings.traces.enabled:
        return None
    try:
        from refrain.streams.traces.export import Exporting, not_counted
    except ModuleNotFoundError as missing:
        raise WrongSetup(
            f"traces.enabled is set, and {missing.name} is not installed: {install_hint('traces')}, or set"
            " traces.enabled to false"
        ) from missing
    lost = not_counted if metrics is None else metrics.count_lost_spans
    return Exporting(processor, settings, is_guest=is_guest, lost=lost)
