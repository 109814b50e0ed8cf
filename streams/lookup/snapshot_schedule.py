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

from refrain.streams import time_of_day
from refrain.streams.errors import RefrainError, SnapshotUnusable, StoreDamaged, StoreUnusable
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Cluster
from refrain.streams.lookup.metrics import LookupMetrics
from refrain.streams.settings import Settings
from refrain.streams.snapshots.making import make_snapshot
from refrain.streams.snapshots.shelf import Shelf, location_of, usable
from refrain.streams.snapshots.snapshot import Snapshot, place_of
from refrain.streams.store.private import make_private

logger = logging.getLogger(__name__)

NICENESS = 10
"""Those who answer questions go first."""
STOP_S = 5.0
FIRST_S = 30.0
"""After so long a worker looks for the snapshots of its shards at first, and makes those that are due."""
NEW_SHARE = 0.5
"""A snapshot that is younger than this share of the interval is left: its worker has just begun, or got the shard."""


class Known(NamedTuple):
    """What is known of the newest snapshot of a shard that verifies."""

    partition: int
    at_ms: int
    """When it was last known to hold the shard's state: when it was made, or found to have all of it."""
    total_bytes: int


class Told(NamedTuple):
    """What the process that makes a snapshot reports of one shard."""

    text: str
    level: int
    """Of the log."""
    known: Known | None = None


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
        metrics: LookupMetrics,
        elapsed_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`begin` starts to make those of some partitions; with an interval of 0 nothing is ever made."""
        self._every_s = every_ms / 1_000
        self._begin = begin
        self._elapsed_s = elapsed_s
        self._due_s = elapsed_s() + min(FIRST_S, self._every_s)
        self._making: Making | None = None
        self._asked: list[int] = []
        """Whose snapshots are being made."""
        self._metrics = metrics
        self._known: dict[int, Known] = {}
        metrics.snapshot_every.set(self._every_s)

    def turn(self, partitions: Collection[int]) -> None:
        """Begin when it is time, one after another, and tell what came of those before."""
        for gone in self._known.keys() - set(partitions):
            self._forget(gone)
        if self._making is not None:
            self._look_at(self._making, partitions)
        elif self._every_s and partitions and self._elapsed_s() >= self._due_s:
            self._due_s = self._elapsed_s() + self._every_s
            self._asked = sorted(partitions)
            self._making = self._begin(self._asked)

    def close(self) -> None:
        """End what is being made."""
        if self._making is not None:
            self._making.close()
            self._making = None

    def _look_at(self, making: Making, partitions: Collection[int]) -> None:
        over = making.is_over
        for text, level, known in making.told():
            logger.log(level, "%s", text)
            if known is not None and known.partition in partitions:
                self._show(known)
        if over:
            making.close()
            self._making = None
            for partition in self._asked:
                if partition in partitions and partition not in self._known:
                    self._show(Known(partition, 0, 0))

    def _show(self, known: Known) -> None:
        self._known[known.partition] = known
        self._metrics.snapshot_time.labels(str(known.partition)).set(known.at_ms / 1_000)
        self._metrics.snapshot_bytes.labels(str(known.partition)).set(known.total_bytes)

    def _forget(self, partition: int) -> None:
        """Drop the metrics of a shard that another worker owns: that one reports them."""
        del self._known[partition]
        self._metrics.snapshot_time.remove(str(partition))
        self._metrics.snapshot_bytes.remove(str(partition))


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
        out: list[Told] = []
        try:
            while self._receiving.poll():
                out.append(self._receiving.recv())
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
                _tell(telling, _make_one(settings, cluster, shelf, partition, work))
    except (RefrainError, OSError) as error:
        logger.error("no snapshots are made now: %s", error)


def _make_one(settings: Settings, cluster: Cluster, shelf: Shelf, partition: int, work: Path) -> Told:
    """Make a snapshot, unless the newest is so new that it was made before its worker had the shard."""
    kept, every_ms = settings.snapshots, settings.lookup.snapshot_every_ms
    try:
        newest = _newest(cluster, shelf, partition)
        if newest is not None and time_of_day.now_ms() - newest.manifest.made_ms < NEW_SHARE * every_ms:
            return Told(f"shard {partition}: snapshot {newest.name} is new", logging.DEBUG, _known_of(newest))
        made = make_snapshot(
            cluster, shelf, partition, time_of_day.now_ms, keep=kept.keep, keep_ms=kept.keep_ms, work=work
        )
    except (SnapshotUnusable, StoreDamaged, StoreUnusable) as error:
        return Told(f"shard {partition}: no snapshot was made: {error}", logging.ERROR)
    total_bytes = 0 if made.snapshot is None else made.snapshot.manifest.total_bytes
    return Told(made.text, logging.INFO, Known(partition, time_of_day.now_ms(), total_bytes))


def _newest(cluster: Cluster, shelf: Shelf, partition: int) -> Snapshot | None:
    """The newest snapshot from which the shard could be restored, by its manifest."""
    return next(shelf.suited(partition, usable(place_of(cluster, partition, time_of_day.now_ms()))), None)


def _known_of(snapshot: Snapshot) -> Known:
    manifest = snapshot.manifest
    return Known(manifest.partition, manifest.made_ms, manifest.total_bytes)


class _Telling(logging.Handler):
    """Hands log lines of a process to the worker, whose log they belong into."""

    def __init__(self, telling: Connection) -> None:
        super().__init__()
        self._telling = telling

    def emit(self, record: logging.LogRecord) -> None:
        _tell(self._telling, Told(record.getMessage(), record.levelno))


def _tell(telling: Connection, told: Told) -> None:
    try:
        telling.send(told)
    except OSError:
        # The worker has gone: nobody is left to tell.
        sys.exit(0)
