"""A recorded run with a policy in `control`: records come at their own times, so that ages are told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from refrain.schemas.control import SetPolicy
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import PolicySet
from refrain.schemas.policy_rules import Rule
from refrain.streams.errors import Forbidden
from refrain.streams.kafka.interface import Cluster, Outgoing, Reader, Record
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.kafka.wrapped import WrappedCluster
from tests.streams.lookup.stage import NEVER_MS, Stage
from tests.streams.shard.journal import Journal, policy


class Recording:
    """Questions and answers for one partition, under a policy of version 0; `run` lets a worker decide them."""

    def __init__(self, rules: tuple[Rule, ...] = (), **category: Any) -> None:
        self.journal = Journal()
        in_force = policy(**category).model_copy(update={"rules": rules})
        self.journal.add(PolicySet(version=0, policy=in_force))
        self.stage = Stage()
        self.cluster: MemoryCluster = self.stage.cluster
        self.cluster.create("control", 1)
        command = SetPolicy(who="ops", why="to begin", policy=in_force)
        self.cluster.append([Outgoing("control", None, command.encode())])

    def ask(self, text: str, at: str | None, answer: str | None = None, after_ms: int = 1, **fields: Any) -> str:
        """Ask a question and answer it where an answer is given; the id of its decision."""
        record = self.journal.ask(text, at, after_ms, **fields)
        id_: str = json.loads(record.value or b"")["id"]
        if answer is not None:
            self.journal.answer(id_, answer)
        return id_

    def run(self) -> list[Decision]:
        """Decide; the decisions in their order."""
        for record in self.journal.records:
            self.stage.clock.now_ms = record.timestamp_ms
            self.cluster.append([Outgoing("journal", None, record.value, (), 0)])
        worker = self.stage.worker(NEVER_MS)
        self.stage.run(worker)
        worker.close()
        rows = self.cluster.topic("decisions").records[0]
        return [Decision.decode(row.value or b"") for row in rows]


class Denied(WrappedCluster):
    """A log of which some topics may not be read."""

    def __init__(self, inner: Cluster, *topics: str) -> None:
        super().__init__(inner)
        self._denied = topics

    def reader(self, topic: str) -> Reader:
        self._check(topic)
        return super().reader(topic)

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        self._check(topic)
        return super().ends(topic)

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        self._check(topic)
        return super().offsets_at(topic, time_ms)

    def topic_id(self, topic: str) -> str:
        self._check(topic)
        return super().topic_id(topic)

    def _check(self, topic: str) -> None:
        if topic in self._denied:
            raise Forbidden(f"reading {topic} is not allowed")


class Retained(WrappedCluster):
    """A log of which the first records of a topic are gone."""

    def __init__(self, inner: Cluster, topic: str, first: int) -> None:
        super().__init__(inner)
        self._topic, self._first = topic, first

    def reader(self, topic: str) -> Reader:
        inner = super().reader(topic)
        return _From(inner, self._first) if topic == self._topic else inner

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        found = super().ends(topic)
        if topic != self._topic:
            return found
        return {number: (min(self._first, end), end) for number, (_, end) in found.items()}

    def scan(self, topic: str, partition: int, start: int = 0, **stop: Any) -> Iterator[Record]:
        return super().scan(topic, partition, max(start, self._first) if topic == self._topic else start, **stop)


class _From:
    """A reader of what is left."""

    def __init__(self, inner: Reader, first: int) -> None:
        self._inner, self._first = inner, first

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        return self._inner.read(partition, max(start, self._first), max_records)

    def close(self) -> None:
        self._inner.close()
