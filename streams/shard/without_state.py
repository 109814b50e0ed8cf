"""Passes the questions of a shard that is stopped straight to the model, without its state. Pure.

What was passed becomes a row of skips, so that the shard, once it goes on, does not answer these questions again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import ValidationError

from refrain.schemas.decisions import Reason
from refrain.schemas.journal import Asked, Event, decode_event
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import topic_partition_key
from refrain.streams.shard.handlers.asked import pass_straight
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard
from refrain.streams.store.memory import MemoryStore


class Passed(NamedTuple):
    """How a record of a stopped shard was handled."""

    event: Event | None
    """None: it could not be read, and is left to the shard."""
    result: FoldResult


class StatelessShard:
    """Stands in for a stopped shard: knows nothing but which requests went by."""

    def __init__(self, partition: int, shards: int, incarnation: str, highwater: Mapping[str, int]) -> None:
        self._shard = Shard(partition, shards, incarnation, MemoryStore())
        self._shard.highwater = dict(highwater)

    @property
    def highwater(self) -> dict[str, int]:
        """The highest offset that went by of each partition of requests."""
        return dict(self._shard.highwater)

    def read(self, record: Record) -> Event | None:
        """The event of a record, None for one that cannot be read."""
        try:
            return decode_event(record.value or b"")
        except ValidationError:
            return None

    def take(self, record: Record) -> Passed:
        """Pass a question straight to the model. Anything else is left to the shard, as is what cannot be read."""
        event, out = self.read(record), FoldResult()
        if not isinstance(event, Asked):
            return Passed(event, out)
        place = topic_partition_key(event.origin.topic_id, event.origin.partition)
        if event.origin.offset <= self._shard.highwater.get(place, -1):
            return Passed(event, out)
        self._shard.time_ms = record.timestamp_ms
        try:
            pass_straight(self._shard, event, record, out, Reason.SHARD_STOPPED)
        except (ValueError, LookupError, TypeError, AttributeError):
            # The fold tells its requester what is wrong with it.
            return Passed(None, FoldResult())
        self._shard.highwater[place] = event.origin.offset
        return Passed(event, out)
