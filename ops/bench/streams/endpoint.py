"""The endpoint in a process of its own, with a slow model behind it, for `bench streams`."""

from __future__ import annotations

import logging
import multiprocessing
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from refrain.ops.bench.streams.slow_model import SlowModel
from refrain.streams import time_of_day
from refrain.streams.edge.worker import run_edge
from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Edge, Settings, Upstream

START_S = 60.0
STOP_S = 60.0
WAIT_MS = 3_600_000
"""Longer than any run: no stream is to end by a bound of time that is not measured."""
OPEN = "refrain_edge_open"
FINISH, STOP = "finish", "stop"


class EndpointProcess(NamedTuple):
    """A running endpoint."""

    pid: int
    port: int
    pipe: Connection

    def open(self) -> int:
        """Requests under way."""
        self.pipe.send(OPEN)
        return int(self.pipe.recv())

    def finish(self) -> None:
        """Let every answer end."""
        self.pipe.send(FINISH)


@contextmanager
def endpoint(in_flight_max: int, every_s: float) -> Iterator[EndpointProcess]:
    """Run the endpoint until the block ends. Raises ClusterFailed where it does not start."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    with tempfile.TemporaryDirectory(prefix="refrain-streams-") as folder:
        process = context.Process(target=_serve, args=(theirs, folder, in_flight_max, every_s), daemon=True)
        process.start()
        try:
            if not ours.poll(START_S):
                raise ClusterFailed(f"the endpoint did not start within {START_S:.0f} s")
            yield EndpointProcess(process.pid or 0, ours.recv(), ours)
        finally:
            if process.is_alive():
                ours.send(STOP)
            process.join(STOP_S)
            if process.is_alive():
                process.kill()
                process.join()


def _serve(pipe: Connection, folder: str, in_flight_max: int, every_s: float) -> None:
    logging.basicConfig(level=logging.WARNING)
    settings = Settings(
        state_dir=Path(folder),
        upstream=Upstream(connector="simulated"),
        edge=Edge(
            auth="none", port=0, in_flight_max=in_flight_max, cache_wait_ms=WAIT_MS, timeout_ms=WAIT_MS, drain_ms=1_000
        ),
    )
    stop = threading.Event()
    cluster, metrics = MemoryCluster(time_of_day.now_ms), Metrics()
    model = SlowModel(cluster, every_s, stop.is_set)
    threading.Thread(target=_obey, args=(pipe, model, metrics, stop), daemon=True).start()
    model.start()
    context = WorkerContext(settings, cluster, metrics, stop=stop.is_set, ready=lambda: None, now_ms=time_of_day.now_ms)
    run_edge(context, listening=pipe.send)


def _obey(pipe: Connection, model: SlowModel, metrics: Metrics, stop: threading.Event) -> None:
    while (order := pipe.recv()) != STOP:
        if order == FINISH:
            model.finish()
        else:
            pipe.send(metrics.registry.get_sample_value(order) or 0.0)
    stop.set()
