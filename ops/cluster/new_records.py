"""What comes to a topic between two looks, without a connection that stays open: for who looks now and then."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from refrain.streams.errors import Unanswered

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster, Record


class NewRecords:
    """What was written to a topic since its creation here, or `from_start` on; all of one that is made anew meanwhile.

    `anew` hears of that, before its records are given.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        *,
        from_start: bool = False,
        anew: Callable[[], object] = lambda: None,
    ) -> None:
        self._cluster = cluster
        self._topic = topic
        self._anew = anew
        self._next = {} if from_start else {number: end for number, (_, end) in cluster.ends(topic).items()}
        self._ends: Mapping[int, int] = dict(self._next)
        self._id = "" if from_start else self._topic_id()

    def read(self, stop: Callable[[], bool] = lambda: False) -> list[Record]:
        """Committed records not seen before. A transaction that stays open is not waited for when `stop` says so."""
        ends = {number: end for number, (_, end) in self._cluster.ends(self._topic).items()}
        if ends == self._ends:
            return []
        # Asked where something came alone: else there is nothing to be read of another one.
        topic_id = self._topic_id()
        if self._id and topic_id and topic_id != self._id:
            self._next, self._ends = {}, {}
            self._anew()
        self._id = topic_id or self._id
        records: list[Record] = []
        for number, end in ends.items():
            # A scan opens a consumer: not where nothing was written.
            if end == self._ends.get(number, 0):
                continue
            start = self._next.get(number, 0)
            found = list(self._cluster.scan(self._topic, number, start, stop=stop))
            self._next[number] = found[-1].offset + 1 if found else start
            records += found
        self._ends = ends
        return records

    def _topic_id(self) -> str:
        """Which topic is there; empty where nobody tells: without a controller all else can be read."""
        try:
            return self._cluster.topic_id(self._topic)
        except Unanswered:
            return ""
