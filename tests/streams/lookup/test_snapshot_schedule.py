"""Snapshots by schedule: when they begin, and what is told of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest

from refrain.streams.lookup.metrics import LookupMetrics
from refrain.streams.lookup.snapshot_schedule import Known, SnapshotSchedule, Told, begin_snapshots
from refrain.streams.metrics import Metrics
from refrain.streams.settings import Settings, Snapshots


class Made:
    """Snapshots that are made when the test says so."""

    def __init__(self, partitions: Sequence[int]) -> None:
        self.partitions = list(partitions)
        self.is_over = self.is_closed = False
        self.news: list[Told] = []

    def told(self) -> list[Told]:
        told, self.news = self.news, []
        return told

    def wait(self, timeout_s: float) -> None: ...

    def close(self) -> None:
        self.is_closed = True


class Play:
    """A schedule, its clock, and what it has begun."""

    def __init__(self, every_ms: int) -> None:
        self.now_s = 0.0
        self.begun: list[Made] = []
        self.registry = (metrics := Metrics()).registry
        self.schedule = SnapshotSchedule(every_ms, self._begin, LookupMetrics(metrics), lambda: self.now_s)

    def _begin(self, partitions: Sequence[int]) -> Made:
        self.begun.append(Made(partitions))
        return self.begun[-1]

    def turn(self, at_s: float, *partitions: int) -> None:
        self.now_s = at_s
        self.schedule.turn(partitions)

    def shown(self, name: str) -> dict[str, float]:
        """A gauge by partition."""
        samples = [sample for family in self.registry.collect() for sample in family.samples if sample.name == name]
        return {sample.labels["partition"]: sample.value for sample in samples}


def test_nothing_is_made_without_an_interval() -> None:
    play = Play(0)
    play.turn(1e9, 0, 1)
    assert not play.begun


def test_snapshots_are_made_when_it_is_time_one_after_another() -> None:
    play = Play(60_000)
    play.turn(29, 3, 1)
    assert not play.begun
    play.turn(30, 3, 1)
    assert [each.partitions for each in play.begun] == [[1, 3]]
    play.turn(500, 3, 1)
    assert len(play.begun) == 1
    play.begun[0].is_over = True
    play.turn(501, 3, 1)
    assert play.begun[0].is_closed
    play.turn(502, 2)
    assert [each.partitions for each in play.begun] == [[1, 3], [2]]
    play.begun[1].is_over = True
    play.turn(503, 2)
    play.turn(561, 2)
    assert len(play.begun) == 2
    play.turn(562, 2)
    assert len(play.begun) == 3


def test_age_and_size_of_the_newest_are_shown_of_the_shards_that_are_here() -> None:
    play = Play(1_000)
    play.turn(1, 0, 1, 2)
    assert play.shown("refrain_snapshot_timestamp_seconds") == {}
    play.begun[0].news = [
        Told("shard 0: snapshot a is made", logging.INFO, Known(0, 5_000, 70)),
        Told("shard 1: snapshot b is new", logging.DEBUG, Known(1, 4_000, 80)),
        Told("shard 2: no snapshot was made", logging.ERROR),
    ]
    play.turn(1.1, 0, 1, 2)
    assert play.shown("refrain_snapshot_timestamp_seconds") == {"0": 5.0, "1": 4.0}
    play.begun[0].is_over = True
    play.turn(1.2, 0, 1, 2)
    assert play.shown("refrain_snapshot_timestamp_seconds") == {"0": 5.0, "1": 4.0, "2": 0.0}
    play.turn(1.3, 1)
    assert play.shown("refrain_snapshot_timestamp_seconds") == {"1": 4.0}
    assert play.shown("refrain_snapshot_bytes") == {"1": 80.0}


def test_what_was_known_stays_when_the_next_one_cannot_be_made() -> None:
    play = Play(1_000)
    play.turn(1, 0)
    play.begun[0].news, play.begun[0].is_over = [Told("made", logging.INFO, Known(0, 5_000, 70))], True
    play.turn(2, 0)
    play.turn(3, 0)
    play.begun[1].news, play.begun[1].is_over = [Told("no snapshot was made", logging.ERROR)], True
    play.turn(4, 0)
    assert play.shown("refrain_snapshot_timestamp_seconds") == {"0": 5.0}


def test_a_worker_without_shards_makes_none() -> None:
    play = Play(1_000)
    play.turn(5)
    assert not play.begun


def test_what_comes_of_them_is_told(caplog: pytest.LogCaptureFixture) -> None:
    play = Play(1_000)
    play.turn(1, 0)
    play.begun[0].news = [
        Told("shard 0: snapshot a is made", logging.INFO),
        Told("shard 1: no snapshot was made", logging.ERROR),
    ]
    with caplog.at_level(logging.INFO):
        play.turn(1.1, 0)
    assert [(each.levelno, each.getMessage()) for each in caplog.records] == [
        (logging.INFO, "shard 0: snapshot a is made"),
        (logging.ERROR, "shard 1: no snapshot was made"),
    ]


def test_a_worker_that_ends_ends_what_is_being_made() -> None:
    play = Play(1_000)
    play.turn(1, 0)
    play.schedule.close()
    play.schedule.close()
    assert play.begun[0].is_closed


def test_a_process_that_cannot_do_it_says_so(tmp_path: Path) -> None:
    settings = Settings(snapshots=Snapshots(location="xyz://nowhere"))
    making = begin_snapshots(settings, tmp_path / "work", [0])
    try:
        making.wait(60)
        assert making.is_over
        (told,) = making.told()
        assert told.level == logging.ERROR
        assert "xyz://nowhere" in told.text
    finally:
        making.close()
