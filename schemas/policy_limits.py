"""Limits of a policy: the bounds of a shard, and of what one tenant may use of it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from refrain.schemas.base import Strict

EVERY_TENANT = "*"


class Eviction(StrEnum):
    """Which entry goes first."""

    VALUE = "value"
    """GreedyDual-Size-Frequency: frequency x cost x priority / size, aged."""
    LRU = "lru"
    """Not used for the longest."""
    LFU = "lfu"
    """Used least often."""
    PAPER = "paper"
    """priority x hits / age, as arXiv 2510.26835 has it."""


class Limits(Strict):
    """Bounds that steer the fold; events carry them so that a replay folds alike."""

    hnsw_from: Annotated[int, Field(ge=16)] = 8_192
    """Entries of one namespace from which its table searches an HNSW instead of scanning."""
    ef: Annotated[int, Field(ge=8, le=4096)] = 64
    """How many candidates an HNSW keeps while it searches: more find more, and take longer."""
    candidates: Annotated[int, Field(ge=1, le=64)] = 8
    """How many nearest entries are looked at."""
    waiting_max: Annotated[int, Field(ge=1)] = 10_000
    """Requests of one shard that may wait for a model; more are passed through unremembered."""
    waiting_bytes_max: Annotated[int, Field(ge=100_000)] = 67_108_864
    """What they may take together with the questions that were forwarded for them; more are passed through."""
    answer_timeout_ms: Annotated[int, Field(ge=100)] = 120_000
    """How long a request waits when it names no deadline; longer deadlines are cut to this."""
    entry_bytes_max: Annotated[int, Field(ge=1_000)] = 262_144
    """A larger question and answer are delivered and not kept."""
    response_bytes_max: Annotated[int, Field(ge=1_000)] = 900_000
    """A larger response becomes an error."""
    entries_max: Annotated[int, Field(ge=1)] = 100_000
    """Entries of one shard, all tenants and categories together."""
    eviction: Eviction = Eviction.VALUE
    """What goes first when room is needed."""
    verify_timeout_ms: Annotated[int, Field(ge=10)] = 2_000
    """How long a question waits for a second opinion before it is forwarded as a miss."""
    cost: Literal["latency", "tokens"] = "latency"
    """What a hit saves, as eviction counts it: the model's time (ms) or its tokens."""


class TenantLimits(Strict):
    """What one tenant may use of one shard. Absent: as much as there is."""

    requests_per_s: Annotated[float, Field(gt=0, le=1_000_000)] | None = None
    """Questions that are looked up; one second's may come at once. More get what is kept for the same text, else pass
    through."""
    waiting: Annotated[int, Field(ge=1)] | None = None
    """Requests that may wait for a model; more are passed through unremembered."""
    waiting_bytes: Annotated[int, Field(ge=10_000)] | None = None
    """What they may take together with the questions that were forwarded for them; more are passed through."""
    entries_per_minute: Annotated[int, Field(ge=1, le=60_000_000)] | None = None
    """Answers that are kept; one minute's may come at once. More are delivered and not kept."""
    namespaces: Annotated[int, Field(ge=1)] | None = None
    """Namespaces (category and context) that may hold entries; answers to more are delivered and not kept."""
