"""Worker: one processor in this process, with signals, health server and published health port."""

from __future__ import annotations

import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

from refrain.ops.run import logs
from refrain.ops.run.lifeline import watch_supervisor
from refrain.ops.run.processors import Processor, processor
from refrain.ops.terminal import exit_codes
from refrain.streams.errors import RefrainError
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.health import HealthServer, Liveness

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

logger = logging.getLogger(__name__)


class Stopping:
    """Whether a signal asked the worker to stop. Plain, since an Event's lock is not safe in a signal handler."""

    asked = False


def run_worker(name: str, settings: Settings, *, supervised: bool = False) -> int:
    """Run one processor until a signal; returns the exit code, which says whether to start it again."""
    logs.set_up(name, settings.log_level)
    stopping = Stopping()
    liveness = Liveness()
    with _signals(stopping, liveness, ignore_interrupt=supervised):
        if supervised:
            watch_supervisor()
        logger.info("starts, process %d, broker %s, prefix %r", os.getpid(), settings.kafka, settings.prefix)
        try:
            with KafkaCluster(settings) as cluster:
                serve(name, processor(name), settings, cluster, stopping, liveness)
        except RefrainError as error:
            logger.error("ends: %s", logs.error_line(error))
            logger.debug("%s", logs.trail(error))
            return exit_codes.code_of(error)
        except Exception as error:  # noqa: BLE001 - a bug ends this worker in one line, and another is started
            logger.critical("ends unexpectedly: %s", logs.error_line(error))
            logger.error("%s", logs.trail(error))
            return exit_codes.FAILED
        logger.info("has drained and leaves")
    return exit_codes.OK


def serve(
    name: str, work: Processor, settings: Settings, cluster: Cluster, stopping: Stopping, liveness: Liveness
) -> None:
    """Run `work` with a health server beside it until stopping was asked for."""
    metrics = Metrics()
    ProcessCollector(registry=metrics.registry)
    with HealthServer(settings.http, liveness, metrics.registry) as server:
        logger.info("health at http://%s:%d/healthz", settings.http.host, server.port)
        with health_file(settings.state_dir, name, settings.http.host, server.port):
            work(WorkerContext(settings, cluster, metrics, _beating(stopping, liveness), _once(name, liveness), now_ms))


def now_ms() -> int:
    """The time of day (milliseconds)."""
    return time.time_ns() // 1_000_000


@contextmanager
def health_file(state_dir: Path, name: str, serve: str, port: int) -> Iterator[Path]:
    """The worker's health port, in a file of `health/` in the state folder while it runs."""
    path = state_dir / "health" / f"{name}-{os.getpid()}.json"
    write_whole(path, {"name": name, "pid": os.getpid(), "host": serve, "port": port})
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):
            path.unlink()


def write_whole(path: Path, value: object) -> None:
    """Write JSON so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(value) + "\n", encoding="utf-8")
    os.replace(beside, path)


def _beating(stopping: Stopping, liveness: Liveness) -> Callable[[], bool]:
    """`stop` for the processor. Its main loop asks at every round, which is a sign of life."""
    main = threading.get_ident()

    def stop() -> bool:
        if threading.get_ident() == main:
            liveness.beat()
        return stopping.asked

    return stop


def _once(name: str, liveness: Liveness) -> Callable[[], None]:
    """`ready` for the processor; logs the first time."""
    said = False

    def ready() -> None:
        nonlocal said
        if not said:
            said = True
            logger.info("ready")
        liveness.ready()

    return ready


@contextmanager
def _signals(stopping: Stopping, liveness: Liveness, *, ignore_interrupt: bool) -> Iterator[None]:
    """SIGTERM and Ctrl-C drain; a second Ctrl-C leaves at once. Under a supervisor Ctrl-C is its business."""

    def drain(number: int, frame: FrameType | None) -> None:
        stopping.asked = True
        liveness.stop()
        if not ignore_interrupt:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, signal.SIG_IGN if ignore_interrupt else drain)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
