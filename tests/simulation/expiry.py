"""Local stores that are gone or too old, and `documents` whose deletions have expired."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from refrain.ops.cluster.connection import client
from refrain.schemas.control import ReportLoad
from refrain.streams.settings import Settings
from tests.simulation import traffic
from tests.simulation.bench import Bench
from tests.simulation.records import tombstones

COMPACTED_S = 150.0
TOMBSTONES_MS = 5_000
"""How long deletions are kept in the end: more than a restore takes, less than a person waits."""


def set_stores_aside(bench: Bench) -> None:
    """Keep a copy of the local stores as they are now."""
    shutil.copytree(bench.state_dir, _aside(bench), ignore=lambda _, names: [n for n in names if n == "LOCK"])


def delete_stores(bench: Bench) -> None:
    for path in bench.state_dir.glob("lookup-*"):
        shutil.rmtree(path)


def put_old_stores_back(bench: Bench) -> None:
    delete_stores(bench)
    aside = _aside(bench)
    for path in aside.glob("lookup-*"):
        shutil.copytree(path, bench.state_dir / path.name)


def expire_tombstones(bench: Bench) -> None:
    """Shorten the life of deletions in `documents`, and wait until the cleaner has removed those that are there."""
    wanted = {
        "delete.retention.ms": str(TOMBSTONES_MS), "min.cleanable.dirty.ratio": "0.001", "segment.ms": "500",
        "max.compaction.lag.ms": "500", "min.compaction.lag.ms": "0",
    }  # fmt: skip
    resource = ConfigResource(
        ResourceType.TOPIC,
        bench.settings.prefix + "documents",
        incremental_configs=[
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()
        ],
    )
    for future in bench.admin.incremental_alter_configs([resource]).values():
        future.result()
    left = old = tombstones(bench.log)
    deadline = time.monotonic() + COMPACTED_S
    with _pokes(bench.settings) as poke:
        while left and time.monotonic() < deadline:
            bench.step("deletions leave documents", len(old) - len(left), len(old))
            # Every shard folds and commits something: only what is behind the last segment is cleaned.
            poke()
            time.sleep(0.5)
            left = old & tombstones(bench.log, sorted({partition for partition, _ in left}))
    bench.report.figures["tombstones_expired"] = len(old) - len(left)
    bench.report.expect(f"deletions leave `documents` within {COMPACTED_S:.0f} s", left)


@contextmanager
def _pokes(settings: Settings) -> Iterator[Callable[[], None]]:
    """Sends a command that every shard folds and that changes nothing for questions."""
    producer = Producer(client(settings))

    def send() -> None:
        report = ReportLoad(who="fault run", model=traffic.MODELS[1], load=0.0, valid_until_ms=0)
        producer.produce(settings.prefix + "control", report.encode())
        producer.flush(5.0)

    yield send
    producer.flush(5.0)


def _aside(bench: Bench) -> Path:
    return bench.state_dir.with_name("aside")
