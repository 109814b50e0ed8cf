"""Why the model was called without the cache: what the endpoint counts by, and who reads its metrics tells apart."""

from __future__ import annotations

from enum import StrEnum


class PastCache(StrEnum):
    """Reason of a call past the cache, the label of `refrain_edge_direct`."""

    SILENT = "cache_silent"
    """The cache said nothing in time."""
    UNFIT = "unfit"
    """It does not take such a request, and a model may: nothing ails it."""
    CLOCK = "clock_behind"
    """It took the deadline for over while the client still waits: this machine's clock is behind the broker's."""
    FAILED = "failed"
    """It told of an error of its own."""
