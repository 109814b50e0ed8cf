"""Worker: one processor in this process, with signals, health server and published health port."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import TYPE_CHECKING

from prometheus_client import ProcessCollector

from refrain.ops.run import logs
from refrain.ops.run.lifeline import watch_supervisor
from refrain.ops.run.processors import Processor, processor
from refrain.ops.run.state_files import health_path, whose, write_whole
from refrain.ops.terminal import exit_codes
from refrain.streams import time_of_day
from refrain.streams.errors import RefrainError
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.outages import Outages, PatientCluster
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.health import HealthServer, Liveness
from refrain.streams.runtime.progress import Progress, progress_of
from refrain.streams.traces.loading import traces_of

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

logger = logging.getLogger(__name__)


BEAT_S = 2.0
"""How often the health file says how far the main loop is."""


class Stopping:
    """Whether a signal asked the worker to stop. Plain, since an Event's lock is not safe in a signal handler."""

    asked = False


def run_worker(name: str, settings: Settings, *, supervised: bool = False, restarts: int = 0) -> int:
    """Run one processor until a signal; returns the exit code, which says whether to start it again.

    `restarts` says how often a supervisor started it again.
    """
    logs.set_up(name, settings.log_level, form=settings.log_format)
    stopping = Stopping()
    liveness = Liveness()
    with _signals(stopping, liveness, ignore_interrupt=supervised):
        if supervised:
            watch_supervisor()
        logger.info("starts, process %d, broker %s, prefix %r", os.getpid(), settings.kafka, settings.prefix)
        try:
            outages = outages_of(stopping, liveness)
            with KafkaCluster(settings, outages) as cluster:
                patient = PatientCluster(cluster, outages)
                serve(name, processor(name), settings, patient, outages, liveness, restarts)
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
    name: str,
    work: Processor,
    settings: Settings,
    cluster: Cluster,
    outages: Outages,
    liveness: Liveness,
    restarts: int = 0,
) -> None:
    """Run `work` with a health server beside it until stopping was asked for."""
    metrics = Metrics()
    metrics.restarts.labels(name).set(restarts)
    ProcessCollector(registry=metrics.registry)
    with HealthServer(settings.http, liveness, metrics.registry) as server:
        logger.info("health at http://%s:%d/healthz", settings.http.host, server.port)
        with health_file(settings.state_dir, name, settings.http.host, server.port, liveness, about=whose(settings)):
            ready = _once(liveness)

            def progress(group: str, topic: str) -> Progress:
                return progress_of(settings.state_dir, group, cluster.topic_id(topic), cluster.partitions(topic))

            with traces_of(settings, name, metrics=metrics) as traces:
                work(
                    WorkerContext(
                        settings,
                        cluster,
                        metrics,
                        outages.stopping,
                        ready,
                        time_of_day.now_ms,
                        outages,
                        progress,
                        liveness.trouble,
                        traces,
                    )
                )


@contextmanager
def health_file(
    state_dir: Path,
    name: str,
    serve: str,
    port: int,
    liveness: Liveness,
    beat_s: float = BEAT_S,
    about: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Path]:
    """A file of `health/` in the state folder while the worker runs: its port, and how far its main loop is.

    `turns` counts the rounds of the loop, and `turned_at_ms` is the time of day at which it was last seen to move. A
    supervisor that sees them stand still ends the worker. `about` are further keys.
    """
    path = health_path(state_dir, name, os.getpid())
    told: dict[str, object] = {"name": name, "pid": os.getpid(), "host": serve, "port": port, **about}
    done = threading.Event()

    def tell() -> None:
        write_whole(path, {**told, "turns": liveness.turns, "turned_at_ms": time_of_day.now_ms()})

    def follow() -> None:
        turns = liveness.turns
        while not done.wait(beat_s):
            if liveness.turns != turns:
                turns = liveness.turns
                # On a full disk it says nothing new, and the supervisor asks the port.
                with suppress(OSError):
                    tell()

    tell()
    thread = threading.Thread(target=follow, name="health file", daemon=True)
    thread.start()
    try:
        yield path
    finally:
        done.set()
        thread.join()
        path.unlink(missing_ok=True)


def outages_of(stopping: Stopping, liveness: Liveness) -> Outages:
    """The outages of a worker whose main loop runs on this thread.

    Its `stopping` is `stop` for the processor: asked at every round, and while the cluster is waited for, which is a
    sign of life.
    """
    main = threading.get_ident()

    def stop() -> bool:
        if threading.get_ident() == main:
            liveness.beat()
            outages.settle()
        return stopping.asked

    outages = Outages(stop, changed=liveness.outage)
    return outages


def _once(liveness: Liveness) -> Callable[[], None]:
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
