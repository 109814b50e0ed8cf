"""Compares logs with a seal of them: from where on is a log another one, and what was done to it?

Each step of a ladder is proven by its own digest, begun from the sealed one before it: so a difference spoils the proof
of its step alone, and a log whose first records retention took is proven from the first step that is whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from refrain.ops.audit.seal.alignment import Change, Difference, Region, differences
from refrain.ops.audit.seal.chain import Digested, Place, chained, digested, start
from refrain.ops.audit.seal.model import Rung, Seal, SealedLog
from refrain.streams.kafka.interface import Cluster, Record

REACH = 100_000
"""Records behind the sealed end among which the last sealed one is sought, when what precedes it differs."""


@dataclass(frozen=True)
class LogProof:
    """What a seal proves of a log."""

    topic: str
    partition: int
    sealed: int
    """Records that were sealed."""
    proven: int
    """Records that are surely the sealed ones, by a digest."""
    gone: int
    """Records that stood before the log's first one."""
    begins: int
    """The log's first offset."""
    differences: tuple[Difference, ...]

    @property
    def other_from(self) -> int | None:
        """The first offset at which the log is another one; None when it is not."""
        return min((each.first for each in self.differences), default=None)


class TopicChange(NamedTuple):
    """A topic that is not the sealed one."""

    topic: str
    what: str
    """`recreated` or `repartitioned`."""
    sealed: str
    found: str


class Proof(NamedTuple):
    """What a seal proves of a cluster."""

    seal: Seal
    topics: list[TopicChange]
    logs: list[LogProof]

    @property
    def is_ok(self) -> bool:
        """Whether nothing differs, and something is proven wherever something was sealed."""
        spoilt = any(log.differences or (log.sealed and not log.proven) for log in self.logs)
        return not self.topics and not spoilt


def prove_all(
    cluster: Cluster, seal: Seal, partitions: Sequence[int] | None, progressed: Callable[[int], None] = lambda _: None
) -> Proof:
    """Compare the logs of a cluster with a seal; those of shards only for `partitions`, when they are given.

    `progressed` is told how many records have been read. Raises WrongSetup when a topic is missing.
    """
    counts = {topic: cluster.partitions(topic) for topic in seal.topics}
    starts = {topic: cluster.ends(topic) for topic in seal.topics}
    read = _Counted(progressed)
    logs = []
    for log in seal.logs:
        if log.topic != seal.control.topic and partitions is not None and log.partition not in partitions:
            continue
        there = log.partition < counts[log.topic]
        first = starts[log.topic][log.partition][0] if there else 0
        records = cluster.scan(log.topic, log.partition) if there else iter(())
        logs.append(prove(log, first, read(records)))
    return Proof(seal, _topic_changes(cluster, seal, counts), logs)


def prove(log: SealedLog, begins: int, records: Iterable[Record]) -> LogProof:
    """Compare a log with its seal. `begins` is its first offset, and `records` are all that stand there."""
    live = _Live(records)
    work = _Work()
    before = start(log.topic, log.partition)
    for rung in log.rungs:
        if rung.last >= begins:
            work.compare(rung, before, begins, live.take(rung.last))
        before = bytes.fromhex(rung.digest)
    found = sorted(work.finish(live), key=lambda each: each.first)
    gone = sum(place.offset < begins for rung in log.rungs if rung.first < begins for place in rung.places)
    return LogProof(log.topic, log.partition, log.records, work.proven, gone, begins, tuple(found))


class _Work:
    """Comparison of one log, step by step; steps that differ make a region until one is the same again."""

    def __init__(self) -> None:
        self.proven = 0
        self._hidden: list[Difference] = []
        self._regions: list[Region] = []
        self._open = False
        """Whether the last step belongs to the last region."""

    def compare(self, rung: Rung, before: bytes, begins: int, taken: Sequence[Digested]) -> None:
        """Compare a step: `before` is the link before it, `taken` are the records up to its last offset."""
        sealed = [place for place in rung.places if place.offset >= begins]
        live = [record.place for record in taken]
        whole = len(sealed) == rung.records
        proven = whole and chained(before, taken).hex() == rung.digest
        if not proven and sealed != live:
            if not self._open:
                self._regions.append(Region([], []))
            self._regions[-1].sealed.extend(sealed)
            self._regions[-1].live.extend(live)
            self._open = True
            return
        self._open = False
        if proven:
            self.proven += len(sealed)
        elif whole:
            # Prints are short: two contents may have the same.
            self._hidden.append(Difference(Change.CHANGED, rung.first, rung.last, len(sealed), exact=False))

    def finish(self, live: _Live) -> list[Difference]:
        """All differences. What differs to the end is sought behind it too: what was put in has pushed it there."""
        if self._open:
            last = self._regions[-1]
            wanted = last.sealed[-1].print
            if all(place.print != wanted for place in last.live):
                last.live.extend(live.until(wanted))
        return self._hidden + differences(self._regions, at_end=self._open)


class _Live:
    """The records of a log, taken bit by bit."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = iter(records)
        self._next = self._read()

    def take(self, last: int) -> list[Digested]:
        """The next ones up to this offset."""
        out = []
        while self._next is not None and self._next.offset <= last:
            out.append(self._next)
            self._next = self._read()
        return out

    def until(self, wanted: bytes) -> list[Place]:
        """The next ones up to the one of this print, or `REACH` of them."""
        out: list[Place] = []
        for _ in range(REACH):
            if self._next is None or (out and out[-1].print == wanted):
                break
            out.append(self._next.place)
            self._next = self._read()
        return out

    def _read(self) -> Digested | None:
        return next((digested(record) for record in islice(self._records, 1)), None)


class _Counted:
    """Counts the records of one log after another."""

    def __init__(self, progressed: Callable[[int], None]) -> None:
        self._progressed = progressed
        self._done = 0

    def __call__(self, records: Iterable[Record]) -> Iterable[Record]:
        for record in records:
            self._done += 1
            if self._done % 1_000 == 0:
                self._progressed(self._done)
            yield record


def _topic_changes(cluster: Cluster, seal: Seal, counts: dict[str, int]) -> list[TopicChange]:
    out = []
    for topic, was in seal.topics.items():
        id_ = cluster.topic_id(topic)
        if id_ != was.id:
            out.append(TopicChange(topic, "recreated", was.id, id_))
        if counts[topic] != was.partitions:
            out.append(TopicChange(topic, "repartitioned", str(was.partitions), str(counts[topic])))
    return out
