"""Replays a stretch: partition by partition as fast as it can, or all together at the speed of the records' times."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from refrain.ops.replay.partition import PartitionReplay, Replayed
from refrain.ops.replay.stretch import Stretch, Timed
from refrain.ops.replay.target import Target
from refrain.ops.terminal.points import Point
from refrain.streams.kafka.interface import Cluster

IDLE_S = 0.2
"""A pause before which what has been folded is written, so that whoever looks sees it."""
STEP = 200
"""Records after which progress is told."""
Sleep = Callable[[float], None]


class Pace:
    """Lets records pass at a multiple of the speed of their times (None: at once)."""

    def __init__(
        self, speed: float | None, elapsed_s: Callable[[], float] = time.monotonic, sleep: Sleep = time.sleep
    ) -> None:
        self._speed = speed
        self._elapsed_s = elapsed_s
        self._sleep = sleep
        self._began: tuple[float, int] | None = None

    def wait(self, time_ms: int, idle: Callable[[], None]) -> None:
        """Wait until a record of that time (ms) is due; `idle` is called before a pause."""
        if self._speed is None:
            return
        if self._began is None:
            self._began = self._elapsed_s(), time_ms
        began_s, first_ms = self._began
        due_s = began_s + (time_ms - first_ms) / 1_000 / self._speed
        left_s = due_s - self._elapsed_s()
        if left_s > IDLE_S:
            idle()
            left_s = due_s - self._elapsed_s()
        if left_s > 0:
            self._sleep(left_s)


def replay(
    source: Cluster,
    target: Target,
    stretch: Stretch,
    *,
    since: Point | None = None,
    pace: Pace | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Replayed]:
    """Replay a stretch into a target; returns what came of each partition, in the order of their numbers.

    Before `since` the state moves on, and neither decisions nor effects are written; nor does `pace` wait there.
    Without a pace one partition follows another, and the state of one is held at a time. Raises JournalUnreadable and
    ClusterFailed.
    """
    counted = _Counted(progress)
    if pace is None:
        return [_one(source, target, stretch, number, since, counted) for number in stretch.partitions]
    parts = {number: PartitionReplay(source, target, number) for number in stretch.partitions}

    def write_all() -> None:
        for part in parts.values():
            part.write()

    for time_ms, record in counted(stretch.in_time()):
        publish = since is None or since.is_reached(record.offset, time_ms)
        if publish:
            pace.wait(time_ms, write_all)
        parts[record.partition].take(record, publish=publish)
    return [part.finish() for part in parts.values()]


def _one(
    source: Cluster, target: Target, stretch: Stretch, partition: int, since: Point | None, counted: _Counted
) -> Replayed:
    part = PartitionReplay(source, target, partition)
    for time_ms, record in counted(stretch.of(partition)):
        part.take(record, publish=since is None or since.is_reached(record.offset, time_ms))
    return part.finish()


class _Counted:
    """Counts the records of one partition after another."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, records: Iterator[Timed]) -> Iterator[Timed]:
        for each in records:
            yield each
            self._done += 1
            if self._done % STEP == 0:
                self._progress(self._done)
