"""What a worker tells of itself: its port, how far its main loop is, and whether it waits for the cluster."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from refrain.ops.run.worker import Stopping, health_file, outages_of, serve
from refrain.streams.kafka.memory import MemoryCluster
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.health import Liveness
from refrain.streams.settings import Settings
from tests.eventually import eventually


def until(path: Path, turns: int) -> dict[str, Any]:
    """The health file once it tells so many turns."""
    told: dict[str, Any] = {}

    def tells() -> bool:
        told.update(json.loads(path.read_text()))
        return bool(told["turns"] == turns)

    eventually(tells)
    return told


def test_the_health_file_follows_the_main_loop_and_leaves_with_it(tmp_path: Path) -> None:
    liveness = Liveness()
    with health_file(tmp_path, "a", "127.0.0.1", 4711, liveness, beat_s=0.01) as path:
        first = until(path, 0)
        assert (first["name"], first["host"], first["port"]) == ("a", "127.0.0.1", 4711)
        liveness.beat()
        liveness.beat()
        assert until(path, 2)["turned_at_ms"] >= first["turned_at_ms"]
    assert not path.exists()


def test_a_stop_that_is_asked_for_is_a_sign_of_life_of_the_main_thread_alone() -> None:
    stopping, liveness = Stopping(), Liveness()
    outages = outages_of(stopping, liveness)
    assert not outages.stopping()
    assert liveness.turns == 1
    other = threading.Thread(target=outages.stopping)
    other.start()
    other.join()
    assert liveness.turns == 1
    stopping.asked = True
    assert outages.stopping()


def test_a_worker_that_waits_for_the_cluster_is_not_ready(tmp_path: Path) -> None:
    stopping, liveness = Stopping(), Liveness()
    outages = outages_of(stopping, liveness)
    seen: list[bool] = []

    def work(context: WorkerContext) -> None:
        context.ready()
        seen.append(liveness.is_ready())
        with context.outages.waiting("a leader") as wait:
            wait.failed("it is away")
            assert not context.stop()
            seen.append(liveness.is_ready())

    serve("a", work, Settings(state_dir=tmp_path), MemoryCluster(lambda: 0, {}), outages, liveness)
    assert seen == [True, False]
