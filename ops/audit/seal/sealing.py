"""Makes seals of logs while an audit reads them: nothing is read twice."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence

from refrain.ops.audit.seal.chain import Digested, digested, link, start
from refrain.ops.audit.seal.model import TOPICS, Run, Rung, Seal, SealedLog, SealedPartition, SealedTopic
from refrain.streams.kafka.interface import Cluster, Record

STEP = 1_000
"""Records between two digests of a ladder."""


class LogSealing:
    """Seal in the making of one partition."""

    def __init__(self, topic: str, partition: int, step: int = STEP) -> None:
        self._topic, self._partition, self._step = topic, partition, step
        self._chain = start(topic, partition)
        self._rungs: list[Rung] = []
        self._pending: list[Digested] = []

    def watch(self, records: Iterable[Record]) -> Iterator[Record]:
        """The same records; each is sealed before it is handed on."""
        for record in records:
            self._add(digested(record))
            yield record

    def finish(self) -> SealedLog:
        """The seal of all that was watched."""
        if self._pending:
            self._close_rung()
        rungs = tuple(self._rungs)
        first, end = (rungs[0].first, rungs[-1].last + 1) if rungs else (0, 0)
        return SealedLog(topic=self._topic, partition=self._partition, first=first, end=end, rungs=rungs)

    def _add(self, record: Digested) -> None:
        self._chain = link(self._chain, record)
        self._pending.append(record)
        if len(self._pending) == self._step:
            self._close_rung()

    def _close_rung(self) -> None:
        places = [record.place for record in self._pending]
        self._rungs.append(
            Rung(
                offsets=tuple(_runs(place.offset for place in places)),
                prints=base64.b64encode(b"".join(place.print for place in places)).decode("ascii"),
                digest=self._chain.hex(),
            )
        )
        self._pending = []


def sealed_topics(cluster: Cluster) -> dict[str, SealedTopic]:
    """Which topics they are. Ask before they are read: one that is made again meanwhile is another."""
    return {name: SealedTopic(id=cluster.topic_id(name), partitions=cluster.partitions(name)) for name in TOPICS}


def seal_all(
    cluster: Cluster,
    topics: dict[str, SealedTopic],
    partitions: Sequence[SealedPartition],
    *,
    fold: str,
    findings: int,
    now_ms: int,
) -> Seal:
    """The seal of a cluster, of partitions that an audit has read and of `control`, which is read here."""
    return Seal(
        made_ms=now_ms,
        fold=fold,
        findings=findings,
        topics=topics,
        control=seal_log(cluster, "control", 0),
        partitions=tuple(partitions),
    )


def seal_log(cluster: Cluster, topic: str, partition: int) -> SealedLog:
    """The seal of a partition that nobody else reads."""
    sealing = LogSealing(topic, partition)
    for _ in sealing.watch(cluster.scan(topic, partition)):
        pass
    return sealing.finish()


def _runs(offsets: Iterable[int]) -> Iterator[Run]:
    """Ascending offsets as runs without a gap."""
    first = count = 0
    for offset in offsets:
        if count and offset == first + count:
            count += 1
            continue
        if count:
            yield first, count
        first, count = offset, 1
    if count:
        yield first, count
