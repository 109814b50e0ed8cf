"""Runs processors in threads, for as long as a test lasts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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

    def ask_to_stop(self) -> None:
        """Ask it to stop, and do not wait for it."""
        self._stop.set()

    def end(self) -> None:
        """Ask it to stop and wait for it. Raises what it raised."""
        self.ask_to_stop()
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
    with _stopped_when_it_fails([one]):
        yield one
    one.end()


@contextmanager
def running_all(processors: Iterable[Callable[..., None]], settings: Settings) -> Iterator[list[Running]]:
    """The processors, all ready, and ended afterwards: they start, and stop, at the same time."""
    all_of_them = [Running(processor, settings) for processor in processors]
    for one in all_of_them:
        one.wait_until_ready()
    with _stopped_when_it_fails(all_of_them):
        yield all_of_them
    for one in all_of_them:
        one.ask_to_stop()
    for one in all_of_them:
        one.end()


@contextmanager
def _stopped_when_it_fails(processors: Sequence[Running]) -> Iterator[None]:
    """Of a test that fails no processor runs on beside the next; what is told is why the test failed."""
    try:
        yield
    except BaseException:
        for each in processors:
            each.ask_to_stop()
        raise
