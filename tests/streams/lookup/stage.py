"""A lookup worker on a stage: the log's twin with recorded traffic, stores that outlive workers, a clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from refrain.schemas.base import Message
from refrain.schemas.decisions import Decision
from refrain.schemas.journal import CacheSwitched, EntriesInvalidated, HitJudged, LoadChanged, PolicySet
from refrain.schemas.policy import Cacheable
from refrain.streams.kafka.interface import Cluster, Outgoing
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.lookup.restore import OpenStore
from refrain.streams.lookup.worker import LookupWorker
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Lookup, Settings
from refrain.streams.shard.fold import fold
from refrain.streams.shard.state import Shard
from refrain.streams.store.interface import Store
from refrain.streams.store.memory import MemoryStore
from tests.streams.shard.journal import JOURNAL_ID, Journal, near, policy, vector
from tests.streams.signed import ROUTES

PARTITIONS = {
    "journal": 2, "documents": 2, "responses": 1, "forwards": 1, "progress": 1, "decisions": 2, "acknowledgements": 1,
    "stats": 1, "doubts": 1, "observations": 1, "dead-letters": 1,
}  # fmt: skip

NEVER_MS = 10**15
"""An interval after which no test commits."""


class Clock:
    """Time that the test sets."""

    def __init__(self) -> None:
        self.now_ms = 1_000_000

    def __call__(self) -> int:
        return self.now_ms


class AtOnce(Executor):
    """Runs what it is given before it returns, so that a test knows when a transaction is."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - a future carries what was raised, whatever it is
            done.set_exception(error)
        return done


class Stage:
    """A log with recorded questions, stores that survive workers, and workers one after another."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.cluster = MemoryCluster(self.clock, PARTITIONS, {"journal": JOURNAL_ID})
        self.stores: dict[int, Store] = {}
        self.open_store: OpenStore = lambda partition: self.stores.setdefault(partition, MemoryStore())

    def journal(self, journal: Journal) -> None:
        self.cluster.append([Outgoing("journal", None, r.value, (), journal.partition) for r in journal.records])

    def worker(
        self, commit_ms: int = 1, cluster: Cluster | None = None, *, commit_records: int = 2_000
    ) -> LookupWorker:
        """The next worker, on the stage's log or on another view of it."""
        lookup = Lookup(commit_interval_ms=commit_ms, commit_records=commit_records, batch_max=3)
        return self.worker_by(self.context(lookup, cluster))

    def context(self, lookup: Lookup, cluster: Cluster | None = None) -> WorkerContext:
        """What a worker by these settings runs with."""
        settings = Settings().model_copy(update={"lookup": lookup})
        return WorkerContext(
            settings, cluster or self.cluster, Metrics(), stop=lambda: False, ready=lambda: None, now_ms=self.clock
        )

    def worker_by(self, context: WorkerContext, background: Executor | None = None) -> LookupWorker:
        """A worker for which a second passes whenever it looks at its clock."""
        seconds = itertools.count()
        return LookupWorker(
            context, self.open_store, "w", ROUTES, lambda: next(seconds), background=background or AtOnce()
        )

    def fold_some(self, worker: LookupWorker) -> int:
        """One batch, as soon as the worker has its shards; the number of its records, 0 when there are no more."""
        while True:
            # What is restored within a turn is polled in the next one.
            ready = worker.ready
            if folded := worker.turn(0):
                return folded
            if ready:
                return 0

    def run(self, worker: LookupWorker) -> None:
        idle = 0
        while idle < 3:
            idle = 0 if worker.turn(0) or not worker.ready else idle + 1
        worker.commit()

    def responses(self) -> list[bytes]:
        return [record.value or b"" for record in self.cluster.records("responses")]

    def decisions(self) -> list[str]:
        return [Decision.decode(record.value or b"").id for record in self.cluster.records("decisions")]

    def documents(self, partition: int) -> dict[bytes, bytes]:
        rows: dict[bytes, bytes | None] = {}
        for record in self.cluster.topic("documents").records[partition]:
            rows[record.key or b""] = record.value
        return {key: value for key, value in rows.items() if value is not None}


def traffic(partition: int = 0) -> Journal:
    """Questions, answers, a failure, repeats and rewordings for one partition."""
    journal = Journal(partition)
    journal.policy(quota={"cap": 4})
    for number in range(8):
        asked = journal.ask(f"q{number}", vector(*[0.0] * number, 1.0))
        id_ = asked_id(asked.value)
        if number == 5:
            journal.fail(id_)
        else:
            journal.answer(id_, f"a{number}")
        journal.ask(f"q{number}", vector(*[0.0] * number, 1.0))
        journal.ask("reworded", near(0.95))
    return journal


def moving(partition: int = 0) -> Journal:
    """Traffic between which load, policy, switch, invalidations and judgements move."""
    journal = Journal(partition)
    journal.policy(threshold_floor=0.8, stale_while_revalidate_ms=1_000_000)
    events: list[Message] = [
        LoadChanged(version=1, model="m", load=1.0, valid_until_ms=journal.time_ms + 1_000_000),
        EntriesInvalidated(version=2, tag="t1"),
        CacheSwitched(version=3, on=False, category="code"),
        CacheSwitched(version=4, on=True),
        HitJudged(version=5, decision_id="d", correct=False, who="w", category="code", entry_id="0-4-journal-"),
        PolicySet(version=6, policy=policy(cache=Cacheable.NEVER)),
        PolicySet(version=7, policy=policy(threshold_floor=0.85)),
    ]
    for number in range(14):
        asked = journal.ask(f"q{number % 4}", vector(*[0.0] * (number % 4), 1.0), tags=(f"t{number % 4}",))
        journal.answer(asked_id(asked.value), f"a{number}")
        if number % 2:
            journal.add(events[number // 2])
        journal.ask("reworded", near(0.83), tags=(f"t{number % 4}",))
    return journal


def asked_id(value: bytes | None) -> str:
    """The id of the question in a record of the journal."""
    found: str = json.loads(value or b"")["id"]
    return found


def expected(journal: Journal) -> tuple[list[bytes], list[str], Shard]:
    """What one fold of all records in one go gives."""
    shard = Shard(journal.partition, 2, JOURNAL_ID, MemoryStore())
    folded = [fold(shard, record) for record in journal.records]
    told = [e.value or b"" for each in folded for e in each.effects if e.topic == "responses"]
    return told, [d.id for each in folded for d in each.decisions], shard


def stage_records(stage: Stage, partition: int) -> Journal:
    journal = Journal(partition)
    journal.records = list(stage.cluster.topic("journal").records[partition])
    return journal
