"""`refrain bench restart`: from the start of lookup workers until every shard answers.

The state is written as workers leave it, and a snapshot is made of each shard. Then workers start, each time with
everything that they need to load: stores that are lost and snapshots, stores that are there, and `documents` alone.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

from refrain.ops.bench.audit.commands import spent_by
from refrain.ops.bench.own_topics import own_topics
from refrain.ops.bench.path.usage import meter_of
from refrain.ops.bench.path.workers import refrain
from refrain.ops.bench.restart.state import RestartPlan, write_state
from refrain.ops.observe.cost import MEGABYTE
from refrain.streams.errors import WrongSetup
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.settings import Settings
from refrain.streams.snapshots.shelf import Shelf, location_of

LOOKUP = "lookup"
BESIDE = "govern"
"""A worker that nobody asks for anything: one alone runs without a supervisor, who tells when workers are ready."""
READY_S = 1_800.0
Tell = Callable[[str], None]


def run(settings: Settings, plan: RestartPlan, tell: Tell, documents: bool = True) -> dict[str, Any]:
    """Run the bench: seconds, processor seconds, memory in megabytes; the restart from `documents` where it is wanted.

    Raises Unreachable when no broker answers, WrongSetup when a snapshot cannot be made or no worker becomes ready.
    """
    with own_topics(settings, "bench-restart", plan.partitions) as mine:
        tell(f"writing {plan.entries} entries to {plan.partitions} shards")
        with KafkaCluster(mine) as cluster:
            write_state(cluster, plan)
        tell("making a snapshot of each shard")
        made = spent_by(mine, ["snapshot", "--json"])
        size = _snapshot_bytes(mine, plan)
        figures = {"snapshots": {"seconds": round(made.seconds, 1), "bytes_per_entry": round(size / plan.entries)}}
        tell("restarting without local stores, from the snapshots")
        figures["from_snapshots"] = _restart(mine, plan, tell)
        tell("restarting with local stores")
        figures["from_stores"] = _restart(mine, plan, tell)
        if documents:
            tell("restarting without local stores and snapshots, from documents")
            _lose_stores(mine)
            shutil.rmtree(mine.state_dir / "snapshots")
            figures["from_documents"] = _restart(mine, plan, tell)
    return {**figures, **plan._asdict()}


def _snapshot_bytes(settings: Settings, plan: RestartPlan) -> int:
    """The size of all snapshots. Raises WrongSetup when a shard has none of all its entries."""
    shelf, size = Shelf(location_of(settings)), 0
    for partition in range(plan.partitions):
        found = [each.snapshot for each in shelf.listed(partition) if each.snapshot is not None]
        if not found or found[0].manifest.entries != plan.layout.entries:
            raise WrongSetup(f"shard {partition} has no snapshot of its {plan.layout.entries} entries")
        size += found[0].manifest.total_bytes
    return size


def _restart(settings: Settings, plan: RestartPlan, tell: Tell) -> dict[str, float]:
    """What workers take until all are ready, which they are when every shard is restored. A long run tells it soon."""
    names = [LOOKUP] * plan.workers + [BESIDE] * (plan.workers == 1)
    started = time.monotonic()
    with refrain(settings, names, {}, ready_s=READY_S):
        seconds = time.monotonic() - started
        meter = meter_of(settings)
        figures = {
            "seconds": round(seconds, 1),
            "cpu_s": round(meter.cpu_s()[LOOKUP], 1),
            "resident_mb": meter.resident_mb()[LOOKUP],
            "resident_bytes_per_entry": round(meter.resident_mb()[LOOKUP] * MEGABYTE / plan.entries),
        }
    tell(", ".join(f"{name} {value:g}" for name, value in figures.items()))
    return figures


def _lose_stores(settings: Settings) -> None:
    for path in settings.state_dir.glob(f"{LOOKUP}-*"):
        shutil.rmtree(path)
