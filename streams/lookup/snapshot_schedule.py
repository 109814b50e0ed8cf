"""Makes snapshots of a worker's shards now and then, in a process beside it: nobody's answer waits for one."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple, Protocol

from refrain.streams.errors import RefrainError, SnapshotUnusable, StoreDamaged, StoreUnusable
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Cluster
from refrain.streams.settings import Settings
from refrain.streams.snapshots.making import make_snapshot
from refrain.streams.snapshots.shelf import Shelf, location_of
from refrain.streams.store.private import make_private

logger = logging.getLogger(__name__)

NICENESS = 10
"""Those who answer questions go first."""
STOP_S = 5.0


class Told(NamedTuple):
    """What a process tells of one shard."""

    text: str
    level: int
    """Of the log."""


class Making(Protocol):
    """Snapshots that are being made."""

    def told(self) -> list[Told]:
        """What was told since the last call."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes."""

    def wait(self, timeout_s: float) -> None:
        """Wait until it is over, at most so long."""

    def close(self) -> None:
        """End it; what is not finished is nothing."""


class SnapshotSchedule:
    """When a worker's shards get snapshots. Call it on the thread that polls."""

    def __init__(
        self,
        every_ms: int,
        begin: Callable[[Sequence[int]], Making],
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`begin` starts to make those of some partitions; with an interval of 0 nothing is ever made."""
        self._every_s = every_ms / 1_000
        self._begin = begin
        self._elapsed_s = elapsed_s
        self._due_s = elapsed_s() + self._every_s
        self._making: Making | None = None

    def turn(self, partitions: Collection[int]) -> None:
        """Begin when it is time, one after another, and tell what came of those before."""
        if self._making is not None:
            self._look_at(self._making)
        elif self._every_s and partitions and self._elapsed_s() >= self._due_s:
            self._due_s = self._elapsed_s() + self._every_s
            self._making = self._begin(sorted(partitions))

    def close(self) -> None:
        """End what is being made."""
        if self._making is not None:
            self._making.close()
            self._making = None

    def _look_at(self, making: Making) -> None:
        over = making.is_over
        for text, level in making.told():
            logger.log(level, "%s", text)
        if over:
            making.close()
            self._making = None


class _Process:
    """A process that makes the snapshots of some partitions."""

    def __init__(self, settings: Settings, work: Path, partitions: Sequence[int]) -> None:
        # No fork: it would take over the threads and the connections of the worker.
        context = multiprocessing.get_context("spawn")
        self._receiving, sending = context.Pipe(duplex=False)
        self._process = context.Process(target=_make_all, args=(settings, work, partitions, sending), daemon=True)
        self._process.start()
        sending.close()

    def told(self) -> list[Told]:
        out = []
        try:
            while self._receiving.poll():
                out.append(Told(*self._receiving.recv()))
        except EOFError:
            pass
        if self._process.exitcode:
            out.append(Told(f"the process that makes snapshots ended with {self._process.exitcode}", logging.ERROR))
        return out

    @property
    def is_over(self) -> bool:
        return not self._process.is_alive()

    def wait(self, timeout_s: float) -> None:
        """Wait until it is over, at most so long."""
        self._process.join(timeout_s)

    def close(self) -> None:
        self._process.terminate()
        self._process.join(STOP_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._receiving.close()


def begin_snapshots(settings: Settings, work: Path, partitions: Sequence[int]) -> Making:
    """Begin to make the snapshots of some partitions in a process beside this one, with its files in a folder."""
    return _Process(settings, work, partitions)


def _make_all(settings: Settings, work: Path, partitions: Sequence[int], telling: Connection) -> None:
    os.nice(NICENESS)
    # It leaves as from an error, so that nothing of what is half made stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    # That is for the worker to hear, who ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours = logging.getLogger("refrain")
    ours.addHandler(_Telling(telling))
    ours.setLevel(logging.INFO)
    try:
        make_private(work)
        shelf = Shelf(location_of(settings))
        with KafkaCluster(settings) as cluster:
            for partition in partitions:
                _make_one(settings, cluster, shelf, partition, work)
    except (RefrainError, OSError) as error:
        logger.error("no snapshots are made now: %s", error)


def _make_one(settings: Settings, cluster: Cluster, shelf: Shelf, partition: int, work: Path) -> None:
    kept = settings.snapshots
    try:
        made = make_snapshot(cluster, shelf, partition, _now_ms, keep=kept.keep, keep_ms=kept.keep_ms, work=work)
    except (SnapshotUnusable, StoreDamaged, StoreUnusable) as error:
        logger.error("shard %d: no snapshot was made: %s", partition, error)
    else:
        logger.info("%s", made.text)


class _Telling(logging.Handler):
    """Hands log lines of a process to the worker, whose log they belong into."""

    def __init__(self, telling: Connection) -> None:
        super().__init__()
        self._telling = telling

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._telling.send((record.getMessage(), record.levelno))
        except OSError:
            # The worker has gone: nobody is left to tell.
            sys.exit(0)


def _now_ms() -> int:
    return int(time.time() * 1_000)
