"""A record that has ended its worker twice is found by the next one and set aside, and no other is."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from refrain.streams.errors import Unanswered
from refrain.streams.kafka.interface import Record
from refrain.streams.runtime import progress as progress_module
from refrain.streams.runtime.progress import Progress, progress_of

PARTITIONS = 3


class Killed(BaseException):
    """The process ends here."""


class Log:
    """Partitions of records, and the offsets that a group has committed."""

    def __init__(self, counts: Sequence[int]) -> None:
        self.records = [
            [Record("t", partition, offset, 0, None, None) for offset in range(count)]
            for partition, count in enumerate(counts)
        ]
        self.committed = [0] * len(counts)
        self.done: Counter[tuple[int, int]] = Counter()
        self.aside: Counter[tuple[int, int]] = Counter()
        self.ended: Counter[tuple[int, int]] = Counter()

    def work(self, progress: Progress, poison: set[tuple[int, int]], batch_max: int, commits: bool = True) -> None:
        """A worker's life: batches from the committed offsets to the end. Raises Killed at a poisoned record."""
        progress.assigned(range(len(self.records)))
        position = list(self.committed)
        while batch := self._batch(position, batch_max):
            for run in progress.runs(batch):
                with progress.in_hand(run):
                    for record in run:
                        self._take(record, progress, poison)
                for record in run:
                    position[record.partition] = record.offset + 1
                if commits:
                    self.committed = list(position)
        self.committed = position

    def _batch(self, position: list[int], batch_max: int) -> list[Record]:
        found: list[Record] = []
        for rows, at in zip(self.records, position, strict=True):
            found += rows[at : at + batch_max - len(found)]
        return found

    def _take(self, record: Record, progress: Progress, poison: set[tuple[int, int]]) -> None:
        place = record.partition, record.offset
        if progress.is_set_aside(record):
            self.aside[place] += 1
        elif place in poison:
            self.ended[place] += 1
            raise Killed
        else:
            self.done[place] += 1


def live(log: Log, place: Path, poison: set[tuple[int, int]], batch_max: int, commits: bool = True) -> int:
    """Workers one after another, until one comes to the end; how many were killed."""
    killed = 0
    while True:
        worker = Progress(place, PARTITIONS)
        try:
            log.work(worker, poison, batch_max, commits)
        except Killed:
            killed += 1
            assert killed <= 3 * len(poison)
            continue
        finally:
            worker.close()
        return killed


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("batch_max", [1, 4, 100])
@pytest.mark.parametrize("seed", range(10))
def test_no_worker_is_ended_three_times_by_one_record_and_every_other_is_worked(
    tmp_path: Path, seed: int, batch_max: int, commits: bool
) -> None:
    draw = random.Random(seed)
    log = Log([draw.randrange(1, 20) for _ in range(PARTITIONS)])
    everything = [(each.partition, each.offset) for rows in log.records for each in rows]
    poison = set(draw.sample(everything, min(len(everything), draw.randrange(1, 5))))
    live(log, tmp_path / "p", poison, batch_max, commits)
    assert all(ended <= 2 for ended in log.ended.values())
    assert set(log.aside) == poison
    assert set(log.done) == set(everything) - poison


def test_a_worker_that_ends_between_batches_leaves_nothing_to_be_careful_with(tmp_path: Path) -> None:
    log = Log([5, 5, 5])
    live(log, tmp_path / "p", set(), 4)
    again = Progress(tmp_path / "p", PARTITIONS)
    again.assigned(range(PARTITIONS))
    assert [len(run) for run in again.runs(log.records[0])] == [5]
    assert again.set_aside(0) == ()


def test_only_what_was_in_hand_is_worked_one_at_a_time(tmp_path: Path) -> None:
    log = Log([9, 9, 9])
    first = Progress(tmp_path / "p", PARTITIONS)
    first.assigned(range(PARTITIONS))
    with pytest.raises(Killed), first.in_hand(log.records[1][2:5]):
        raise Killed
    second = Progress(tmp_path / "p", PARTITIONS)
    second.assigned(range(PARTITIONS))
    assert [len(run) for run in second.runs(log.records[1])] == [1, 1, 1, 1, 1, 4]
    assert [len(run) for run in second.runs(log.records[0])] == [9]


def test_a_cluster_that_fails_is_not_the_fault_of_what_is_in_hand(tmp_path: Path) -> None:
    log = Log([9, 9, 9])
    for _ in range(3):
        worker = Progress(tmp_path / "p", PARTITIONS)
        worker.assigned(range(PARTITIONS))
        with pytest.raises(Unanswered), worker.in_hand(log.records[0][:1]):
            raise Unanswered("no broker answers")
        worker.close()
    again = Progress(tmp_path / "p", PARTITIONS)
    again.assigned([0])
    assert again.set_aside(0) == ()
    assert [len(run) for run in again.runs(log.records[0])] == [9]


def test_another_worker_that_is_given_the_partition_knows(tmp_path: Path) -> None:
    log = Log([3, 3, 3])
    first, second = Progress(tmp_path / "p", PARTITIONS), Progress(tmp_path / "p", PARTITIONS)
    first.follow([0, 1, 2])
    second.follow([])
    with pytest.raises(Killed), first.in_hand(log.records[2][1:2]):
        raise Killed
    second.follow([2])
    with pytest.raises(Killed), second.in_hand(log.records[2][1:2]):
        raise Killed
    third = Progress(tmp_path / "p", PARTITIONS)
    third.follow([1, 2])
    assert third.set_aside(2) == (1,)
    assert third.set_aside(1) == ()
    third.follow([1])
    assert third.set_aside(2) == ()


def test_what_is_in_hand_outlives_a_killed_process(tmp_path: Path) -> None:
    program = f"""
import os, signal
from pathlib import Path
from refrain.streams.kafka.interface import Record
from refrain.streams.runtime.progress import Progress
progress = Progress(Path({str(tmp_path / "p")!r}), 3)
progress.assigned([0])
with progress.in_hand([Record("t", 0, 41, 0, None, None)]):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    for _ in range(2):
        ended = subprocess.run([sys.executable, "-P", "-c", program], check=False, timeout=60)
        assert ended.returncode == -signal.SIGKILL
    after = Progress(tmp_path / "p", PARTITIONS)
    after.assigned([0])
    assert after.set_aside(0) == (41,)


def test_partitions_that_are_added_later_are_worked_without_notes(tmp_path: Path) -> None:
    worker = Progress(tmp_path / "p", PARTITIONS)
    added = [Record("t", PARTITIONS, 0, 0, None, None)]
    worker.follow([0, PARTITIONS])
    with worker.in_hand(added):
        pass
    assert worker.runs(added) == [added]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_disk_that_takes_no_notes_stops_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(place: Path, size: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(progress_module, "_mapped", refuse)
    worker = progress_of(tmp_path, "lookup", "id", PARTITIONS)
    worker.assigned([0])
    batch = Log([2]).records[0]
    with worker.in_hand(batch):
        assert worker.runs(batch) == [batch]
    assert os.strerror(number) in caplog.text


def test_a_recreated_topic_begins_without_notes(tmp_path: Path) -> None:
    first = progress_of(tmp_path, "lookup", "old", PARTITIONS)
    first.assigned([0])
    with pytest.raises(Killed), first.in_hand(Log([1]).records[0]):
        raise Killed
    fresh = progress_of(tmp_path, "lookup", "new", PARTITIONS)
    fresh.assigned([0])
    assert [len(run) for run in fresh.runs(Log([5]).records[0])] == [5]
