"""`load`: how busy a replica of a model is, as connectors see it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from schemas.base import Message, Millis


class LoadSample(Message):
    """One measurement of one replica."""

    model: Annotated[str, Field(min_length=1, max_length=256)]
    replica: Annotated[str, Field(min_length=1, max_length=256)]
    latency_p95_ms: Annotated[float, Field(ge=0)]
    queue_depth: Annotated[float, Field(ge=0)]
    at_ms: Millis
