"""A recorded run in memory, and what a replay of it writes to."""

from __future__ import annotations

import json
from collections.abc import Sequence

from refrain.ops.replay.target import Target
from refrain.schemas.base import Reply
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.memory import MemoryCluster
from tests.ops.audit.audited import recorded
from tests.streams.lookup.stage import PARTITIONS, Stage, moving, traffic
from tests.streams.shard.journal import Journal, vector


class MemoryJournalCopy:
    """Appends records as they are; there are no gaps in memory."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._rows = cluster.topic("journal").records

    def append(self, records: Sequence[Record]) -> None:
        for record in records:
            assert record.offset == len(self._rows[record.partition])
            self._rows[record.partition].append(record)

    def finish(self, partition: int) -> None:
        pass


def copy_of() -> tuple[MemoryCluster, Target]:
    """An empty cluster in memory, with another journal, and the producers of a replay into it."""
    cluster = MemoryCluster(lambda: 99_000_000, PARTITIONS, {"journal": "another-journal"})
    return cluster, Target(MemoryJournalCopy(cluster), cluster.producer(), cluster.transactional("replay"))


def run(*more: Journal) -> Stage:
    """Two partitions of recorded traffic."""
    return recorded(traffic(0), moving(1), *more)


def redirected() -> Journal:
    """A question whose answer goes to a client's own topic."""
    journal = Journal()
    journal.policy()
    asked = journal.ask("q", vector(1.0), reply=Reply(topic="/answers.of.shop"))
    journal.answer(asked_id(asked))
    return journal


def asked_id(record: Record) -> str:
    """The id of a question's decision."""
    return str(json.loads(record.value or b"")["id"])
