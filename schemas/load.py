"""`load`: load samples of a model's replicas, measured by connectors."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from refrain.schemas.base import Message, Millis

LATENCY_MS_MAX = 3_600_000.0
QUEUE_MAX = 1_000_000.0
"""Larger figures are mistakes of who measured, not load."""
FAILURE_CHARS_MAX = 200


class LoadSample(Message):
    """One measurement of one replica."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    replica: Annotated[str, Field(min_length=1, max_length=256)]
    """Which replica of the model was measured."""
    latency_p95_ms: Annotated[float, Field(ge=0, le=LATENCY_MS_MAX)]
    """The latency that 95 % of its answers keep within, in milliseconds."""
    queue_depth: Annotated[float, Field(ge=0, le=QUEUE_MAX)]
    """How many requests wait for it."""
    at_ms: Millis
    """When it was measured."""
    calls: Annotated[int, Field(ge=0)] = 0
    """Calls that ended since the last sample."""
    failures: Annotated[int, Field(ge=0)] = 0
    """Those of them that brought no answer."""
    failure: Annotated[str | None, Field(max_length=FAILURE_CHARS_MAX)] = None
    """What came of the last one that failed, without the server's words: those may quote a question."""
