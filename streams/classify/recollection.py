"""Recalls from the journal what another worker asked shards, whose requests are read again by this one.

A worker that ends, or loses a partition, may leave requests that are written and not committed. Whoever has the
partition next reads them again, perhaps under another policy. What the journal has of them says which shard has them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from refrain.schemas.decisions import Reason
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.streams.classify.attempts import JOURNAL, Attempt, Passage
from refrain.streams.kafka.interface import Cluster, Record

TAIL = 256
"""Records of a partition that are read first; eight times as many while they may not reach back far enough."""
TAIL_MAX = 8_192
"""The most that are read of one: what a worker left is not as old."""

Place = tuple[int, int]
"""Partition and offset of a request."""
# A quote within a text is escaped, so this is found in an event of the kind alone.
_OF_CLASSIFY = re.compile(rb'"kind":"(?:Asked|Passed)"')


class Recollection:
    """Recalls attempts at requests of the topic whose id is `topic_id`."""

    def __init__(self, cluster: Cluster, topic_id: str) -> None:
        self._cluster = cluster
        self._topic_id = topic_id

    def of(self, firsts: Mapping[int, int]) -> dict[Place, Attempt]:
        """What the journal has of requests from these offsets on, by partition of the request topic."""
        found: dict[Place, Attempt] = {}
        for shard, (first, end) in self._cluster.ends(JOURNAL).items():
            reach = TAIL
            while True:
                start = max(first, end - reach)
                here, whole = self._read(self._cluster.scan(JOURNAL, shard, start), firsts)
                if whole or start == first or reach >= TAIL_MAX:
                    found |= here
                    break
                reach *= 8
        return found

    def _read(self, records: Iterable[Record], firsts: Mapping[int, int]) -> tuple[dict[Place, Attempt], bool]:
        """The attempts among these records; and whether older records hold no more.

        A shard gets the requests of a partition in their order: behind one that is committed no other is sought.
        """
        found: dict[Place, Attempt] = {}
        below: set[int] = set()
        for record in records:
            event = self._event(record, firsts)
            if event is None:
                continue
            place = event.origin.partition, event.origin.offset
            if place[1] < firsts[place[0]]:
                below.add(place[0])
            elif isinstance(event, Asked):
                found[place] = Attempt(record.partition, None, written=True)
            else:
                passage = Passage(Reason(event.reason), event.category, event.policy_version)
                found.setdefault(place, Attempt(record.partition, passage))
        return found, below >= set(firsts)

    def _event(self, record: Record, firsts: Mapping[int, int]) -> Asked | Passed | None:
        """The event of a request of these partitions; None for any other, and for what cannot be read."""
        if _OF_CLASSIFY.search(record.value or b"") is None:
            return None
        try:
            event = decode_event(record.value or b"")
        except ValueError:
            return None
        if not isinstance(event, Asked | Passed) or event.origin.topic_id != self._topic_id:
            return None
        return event if event.origin.partition in firsts else None
