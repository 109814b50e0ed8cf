"""Runs processors in threads, for as long as a test lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.settings import Settings

WAIT_S = 40.0


class Running:
    """A processor under way."""

    def __init__(self, processor: Callable[..., None], settings: Settings, **more: Any) -> None:
        self.metrics = Metrics()
        self.problem: Exception | None = None
        self._settled = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(processor, settings, more), daemon=True)
        self._thread.start()

    def wait_until_ready(self) -> None:
        """Wait for the processor to say that it is able to work."""
        assert self._settled.wait(WAIT_S), "it did not become ready"
        assert self.problem is None, repr(self.problem)

    def end(self) -> None:
        """Ask it to stop and wait for it. Raises what it raised."""
        self._stop.set()
        self._thread.join(WAIT_S)
        if self.problem is not None:
            raise self.problem
        assert not self._thread.is_alive()

    def _run(self, processor: Callable[..., None], settings: Settings, more: dict[str, Any]) -> None:
        try:
            with KafkaCluster(settings) as cluster:
                context = WorkerContext(
                    settings,
                    cluster,
                    self.metrics,
                    stop=self._stop.is_set,
                    ready=self._settled.set,
                    now_ms=lambda: time.time_ns() // 1_000_000,
                )
                processor(context, **more)
        except Exception as problem:  # noqa: BLE001 - raised again in the test's thread
            self.problem = problem
        finally:
            self._settled.set()


@contextmanager
def running(processor: Callable[..., None], settings: Settings, **more: Any) -> Iterator[Running]:
    """The processor, ready, and ended afterwards."""
    one = Running(processor, settings, **more)
    one.wait_until_ready()
    yield one
    one.end()
