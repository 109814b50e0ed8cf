"""Clusters that `bench path` measures: Refrain's topics and workers, the empty echo's, and a model's server."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka.admin import AdminClient, NewTopic

from refrain.ops.bench.path.client import BenchClient
from refrain.ops.bench.path.questions import policy
from refrain.ops.bench.path.usage import CpuMeter, meter_of
from refrain.ops.bench.path.workers import echo, refrain
from refrain.ops.control.client import ControlClient
from refrain.ops.topics.admin import await_served, create_missing
from refrain.schemas.control import SetPolicy
from refrain.streams.kafka.config import connection
from refrain.streams.settings import Settings, Upstream

PARTITIONS = 8


class Measured(NamedTuple):
    """A running cluster: who asks it, and what its processes use."""

    client: BenchClient
    meter: CpuMeter


@contextmanager
def running(settings: Settings, prefix: str, names: Sequence[str], variables: dict[str, str]) -> Iterator[Measured]:
    """Run topics, workers and policy under a prefix of their own, removed afterwards."""
    mine = settings.model_copy(update={"prefix": prefix, "state_dir": settings.state_dir / prefix.strip(".")})
    models = str((settings.state_dir / "models").absolute())
    admin = AdminClient(connection(mine))
    create_missing(admin, mine, PARTITIONS)
    try:
        mine.state_dir.mkdir(parents=True, exist_ok=True)
        link = mine.state_dir / "models"
        if not link.exists():
            Path(models).mkdir(parents=True, exist_ok=True)
            link.symlink_to(models)
        with refrain(mine, names, variables):
            order = ControlClient(mine)
            order.send(SetPolicy(who="bench", policy=policy()))
            order.wait(30)
            with closing(BenchClient(mine)) as client:
                yield Measured(client, meter_of(mine))
    finally:
        _remove(admin, prefix)


@contextmanager
def echoing(settings: Settings, prefix: str) -> Iterator[Measured]:
    """Run the empty echo under a prefix of its own, removed afterwards."""
    mine = settings.model_copy(update={"prefix": prefix})
    admin = AdminClient(connection(mine))
    topics = [NewTopic(prefix + name, PARTITIONS, 1) for name in ("requests", "middle", "responses")]
    for future in admin.create_topics(topics, operation_timeout=15).values():
        future.result()
    try:
        await_served(admin, [topic.topic for topic in topics])
        with echo(mine) as hops, closing(BenchClient(mine)) as client:
            yield Measured(client, meter_of(mine, hops))
    finally:
        _remove(admin, prefix)


def _remove(admin: AdminClient, prefix: str) -> None:
    names = [name for name in admin.list_topics(timeout=15).topics if name.startswith(prefix)]
    for future in admin.delete_topics(names, operation_timeout=15).values():
        future.result()


@contextmanager
def model_server(latency_ms: float) -> Iterator[str]:
    """The simulated model, which takes that long, as an HTTP server in a process of its own; gives its base URL."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, latency_ms), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join(10)
        if process.is_alive():
            process.kill()


def _serve(pipe: Any, latency_ms: float) -> None:
    from refrain.streams.upstream.simulated.server import SimulatedServer

    with SimulatedServer(Upstream(connector="simulated", latency_median_ms=latency_ms, latency_sigma=0.0)) as server:
        pipe.send(server.base_url)
        pipe.recv()
