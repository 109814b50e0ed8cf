"""Registry of processors: the module of each, loaded only when it runs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from refrain.ops.run.loading import uncollected

if TYPE_CHECKING:
    from refrain.streams.runtime.context import WorkerContext
    from refrain.streams.settings import Settings

PLACES: dict[str, tuple[str, str]] = {
    "classify": ("refrain.streams.classify.worker", "run_classify"),
    "lookup": ("refrain.streams.lookup.worker", "run_lookup"),
    "populate": ("refrain.streams.populate.worker", "run_populate"),
    "upstream": ("refrain.streams.upstream.worker", "run_upstream"),
    "govern": ("refrain.streams.govern.worker", "run_govern"),
    "adapt": ("refrain.streams.adapt.worker", "run_adapt"),
    "compare": ("refrain.streams.compare.worker", "run_compare"),
    "verify": ("refrain.streams.verify.worker", "run_verify"),
    "edge": ("refrain.streams.edge.worker", "run_edge"),
}
"""Module and function of each processor."""
NAMES = tuple(PLACES)
ON_DEMAND = ("edge",)
"""Processors that are among all only where the settings say so."""


def all_of(settings: Settings) -> tuple[str, ...]:
    """The processors that `all` stands for."""
    wanted = {"edge": settings.edge.enabled}
    return tuple(name for name in NAMES if name not in ON_DEMAND or wanted[name])


class Processor(Protocol):
    """Works until the context's `stop` says so, drains and returns; calls `ready` whenever it is able to work."""

    def __call__(self, context: WorkerContext) -> None: ...


def processor(name: str) -> Processor:
    """The processor of that name, imported now."""
    module, function = PLACES[name]
    with uncollected():
        return cast(Processor, getattr(import_module(module), function))
