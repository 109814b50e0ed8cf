"""Where requests come from: the ids that decisions get by it, and the origin by which a shard knows repeats."""

from __future__ import annotations

from typing import NamedTuple

from refrain.schemas.journal import Origin
from refrain.streams.kafka.interface import Record
from refrain.streams.messaging.ids import decision_id, decision_tag


class Incarnations(NamedTuple):
    """The topic ids of `requests` and `journal`: no other incarnation of them gives the same decision ids."""

    requests: str
    journal: str
    shards: int = 1
    """The partitions of that journal."""


class Origins:
    """Ids and origins of the requests of one topic."""

    def __init__(self, incarnations: Incarnations) -> None:
        self._incarnations = incarnations
        self._tag = decision_tag(incarnations.requests, incarnations.journal)

    def id_of(self, record: Record) -> str:
        """The id of the decision on a request, wherever and however often it is made."""
        return decision_id(record.partition, record.offset, self._tag)

    def origin_of(self, record: Record) -> Origin:
        """The origin of a request, for the shard."""
        return Origin(
            topic=record.topic,
            topic_id=self._incarnations.requests,
            partition=record.partition,
            offset=record.offset,
        )
