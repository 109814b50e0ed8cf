"""Searches `decisions` for one: by a seek where its place in the journal is known, else by a scan for its id.

Many that are sought together share one scan, and the time that the newest of them may take to be recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

from refrain.schemas.decisions import Decision
from refrain.streams.errors import Refusal
from refrain.streams.govern.decision_seek import DecisionSeek, JournalPlace
from refrain.streams.govern.id_scan import CHUNKS, TOPIC, Chunks, IdScan
from refrain.streams.kafka.interface import Cluster, Record
from refrain.streams.messaging.decoding import read

JOURNAL = "journal"
SETTLE_MS = 1_000
"""How long a decision that was told may take to be recorded: it is committed after its response was sent."""


class SoughtDecision(NamedTuple):
    """What is known of a decision: its id, and its place in the journal where its response is at hand."""

    id: str
    partition: int | None = None
    offset: int | None = None


class SharedScan:
    """The scan for the ids of all decisions that are sought at this moment."""

    def __init__(
        self, cluster: Cluster, ids: Collection[str], now_ms: Callable[[], int], chunks: Chunks = CHUNKS
    ) -> None:
        """Raises ClusterFailed when the broker does not answer."""
        self.ends = cluster.ends(TOPIC)
        self._now_ms = now_ms
        self._settled_at_ms = now_ms() + SETTLE_MS
        self._scan = IdScan(cluster, ids, self.ends, chunks)
        self.over = False
        """Whether nothing more is scanned: what is not found is not there."""

    @property
    def settled(self) -> bool:
        """Whether all that was told when the scan began must be recorded by now."""
        return self._now_ms() >= self._settled_at_ms

    def step(self, decision_id: str) -> tuple[bool, Record | None]:
        """Scan on for one of the ids: whether the scan for it is over, and its record, None where there is none.

        The next chunk backwards, then what came since. Raises ClusterFailed when the broker does not answer.
        """
        key = decision_id.encode()
        if key not in self._scan.found and not self.over:
            if not self._scan.exhausted:
                self._scan.look_back()
            else:
                # Looked at after the moment was over, so that what came in it is seen.
                settled = self.settled
                self._scan.look_ahead()
                self.over = settled
        record = self._scan.found.get(key)
        return self.over or record is not None, record


class DecisionSearch:
    """The search for one decision, step by step, so that whoever searches can do other work in between.

    A place that is wrong costs time alone: what does not stand there is looked for by its id.
    """

    def __init__(
        self,
        cluster: Cluster,
        sought: SoughtDecision,
        now_ms: Callable[[], int],
        chunks: Chunks = CHUNKS,
        scan: SharedScan | None = None,
    ) -> None:
        """`scan` is that of several which are sought together, this one among them."""
        self.sought = sought
        self.found: Decision | None = None
        self._scan = SharedScan(cluster, [sought.id], now_ms, chunks) if scan is None else scan
        self._seek: DecisionSeek | None = None
        if sought.partition in self._scan.ends and sought.offset is not None:
            place = JournalPlace(cluster.topic_id(JOURNAL), sought.partition, sought.offset)
            self._seek = DecisionSeek(cluster, place, self._scan.ends[sought.partition][0])
        self._done = False

    def search_chunk(self) -> bool:
        """Search the next chunk. True when the search is over: `found` is the decision, None when there is none.

        Raises ClusterFailed when the broker does not answer.
        """
        if not self._done:
            self._done = self._seek_step() if self._seek is not None else self._scan_step()
        return self._done

    def close(self) -> None:
        """End the search before it is over. A second call does nothing."""
        self._done = True
        self._end_seek()

    def _seek_step(self) -> bool:
        """Seek what is there by now. Over when the decision is found: what a seek does not find is scanned for."""
        seek, settled = self._seek, self._scan.settled
        if seek is None:
            return False
        there = next((record for record in seek.records() if record.key == self.sought.id.encode()), None)
        if there is not None or settled or seek.passed:
            self._end_seek()
        return self._found(there)

    def _scan_step(self) -> bool:
        """Scan on. Over when it is found, or what was told must be there."""
        over, record = self._scan.step(self.sought.id)
        return self._found(record) or over

    def _found(self, record: Record | None) -> bool:
        if record is None:
            return False
        try:
            self.found = read(record.value, Decision.decode)
        except Refusal:
            self.found = None
        return True

    def _end_seek(self) -> None:
        if self._seek is not None:
            self._seek.close()
        self._seek = None
