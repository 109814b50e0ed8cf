"""Recalls from the journal what another worker asked shards, whose requests are read again by this one.

A worker that ends, or loses a partition, may leave requests that are written and not committed. Whoever has the
partition next reads them again, perhaps under another policy. What the journal has of them says which shard has them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from refrain.schemas.decisions import Reason
from refrain.schemas.journal import Asked, Passed, decode_event
from refrain.streams.classify.attempts import JOURNAL, Attempt, Passage
from refrain.streams.kafka.interface import Cluster, Record, Span

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
        self._sign = b'"topic_id":"%s"' % topic_id.encode()
        self._place = re.compile(re.escape(self._sign) + rb',"partition":(\d+),"offset":(\d+)\}')

    def of(self, firsts: Mapping[int, int]) -> dict[Place, Attempt]:
        """What the journal has of requests from these offsets on, by partition of the request topic.

        The ends of all shards are read side by side, and no record twice.
        """
        tails = {shard: _Tail(first, end, firsts) for shard, (first, end) in self._cluster.ends(JOURNAL).items()}
        reach, unread = TAIL, dict(tails)
        while unread:
            spans = {shard: tail.reach_back(reach) for shard, tail in unread.items()}
            for record in self._cluster.sift(JOURNAL, spans, self._is_of_topic):
                self._take(tails[record.partition], record)
            unread = {shard: tail for shard, tail in unread.items() if tail.goes_on and reach < TAIL_MAX}
            reach = min(TAIL_MAX, reach * 8)
        found: dict[Place, Attempt] = {}
        for tail in tails.values():
            found |= tail.attempts()
        return found

    def _is_of_topic(self, _: bytes | None, value: bytes | None) -> bool:
        return value is not None and self._sign in value and _OF_CLASSIFY.search(value) is not None

    def _take(self, tail: _Tail, record: Record) -> None:
        """Note a record of a request that is sought. Most records are of other requests, and are not decoded."""
        value = record.value or b""
        told = self._place.search(value)
        if told is not None and not tail.seeks((int(told[1]), int(told[2]))):
            return
        try:
            event = decode_event(value)
        except ValueError:
            return
        if not isinstance(event, Asked | Passed) or event.origin.topic_id != self._topic_id:
            return
        place = event.origin.partition, event.origin.offset
        if not tail.seeks(place):
            return
        passage = None
        if isinstance(event, Passed):
            passage = Passage(Reason(event.reason), event.category, event.policy_version)
        tail.found.append(_Found(record.offset, place, Attempt(record.partition, passage, written=passage is None)))


class _Found(NamedTuple):
    """An event of a request that is sought, and where it stands in its shard's journal."""

    offset: int
    place: Place
    attempt: Attempt


class _Tail:
    """What is read of the end of one shard's journal, backwards."""

    def __init__(self, first: int, end: int, firsts: Mapping[int, int]) -> None:
        self._first, self._end, self._start = first, end, end
        self._firsts = firsts
        self._below: set[int] = set()
        """Partitions where a request older than those that are sought was found."""
        self.found: list[_Found] = []

    def reach_back(self, reach: int) -> Span:
        """What to read, so that `reach` records before the end are."""
        behind, self._start = self._start, max(self._first, self._end - reach)
        return Span(self._start, behind)

    @property
    def goes_on(self) -> bool:
        """Whether older records may hold more.

        A shard gets the requests of a partition in their order: behind one that is committed no other is sought.
        """
        return self._start > self._first and not self._below >= set(self._firsts)

    def seeks(self, place: Place) -> bool:
        """Whether the request there is sought; one below those that are is noted."""
        first = self._firsts.get(place[0])
        if first is not None and place[1] < first:
            self._below.add(place[0])
        return first is not None and place[1] >= first

    def attempts(self) -> dict[Place, Attempt]:
        """By request: what was asked of the shard, else how it first passed by."""
        out: dict[Place, Attempt] = {}
        for _, place, attempt in sorted(self.found, key=lambda each: each.offset):
            if attempt.passage is None:
                out[place] = attempt
            else:
                out.setdefault(place, attempt)
        return out
