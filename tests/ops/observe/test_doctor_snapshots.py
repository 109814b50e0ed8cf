"""The doctor tells how old snapshots are, and warns of what the schedule should have brought into one."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.observe.doctor_snapshots import look
from refrain.ops.observe.findings import Finding
from refrain.streams.snapshots.location import Location
from refrain.streams.snapshots.shelf import Shelf
from tests.streams.lookup.stage import traffic
from tests.streams.snapshots.test_snapshots import Kept, file_of, more

EVERY_MS = 600_000


@pytest.fixture
def stage(tmp_path: Path) -> Kept:
    """Shard 0 has committed something, shard 1 nothing."""
    made = Kept(str(tmp_path / "shelf"))
    made.play(traffic())
    return made


def told(stage: Kept, *, every_ms: int = EVERY_MS) -> Finding:
    [finding] = look(stage.cluster, stage.shelf, every_ms, stage.clock.now_ms)
    return finding


def later(stage: Kept, intervals: float) -> None:
    stage.clock.now_ms += int(intervals * EVERY_MS)


def test_a_new_snapshot_is_well_and_its_age_and_size_are_told(stage: Kept) -> None:
    stage.made()
    stage.clock.now_ms += 60_000
    finding = told(stage)
    assert (finding.check, finding.state) == ("snapshots", "ok")
    assert "the newest of 1 shard take" in finding.seen
    assert "at most 1 min old" in finding.seen


def test_what_was_committed_is_due_after_two_intervals(stage: Kept) -> None:
    assert told(stage).state == "ok"
    later(stage, 2.1)
    finding = told(stage)
    assert finding.state == "warn"
    assert "shard 0 (none)" in finding.seen
    assert "shard 1" not in finding.seen
    assert "refrain snapshot" in finding.do
    stage.made()
    assert told(stage).state == "ok"


def test_a_shard_that_has_gone_on_is_named_with_the_age_of_its_newest(stage: Kept) -> None:
    stage.made()
    later(stage, 1)
    stage.play(more())
    later(stage, 1.9)
    assert told(stage).state == "ok"
    later(stage, 0.2)
    finding = told(stage)
    assert finding.state == "warn"
    assert "shard 0 (31 min old)" in finding.seen


def test_a_shard_at_rest_needs_no_new_snapshot(stage: Kept) -> None:
    stage.made()
    later(stage, 50)
    finding = told(stage)
    assert finding.state == "ok"
    assert "8.3 h old" in finding.seen


def test_without_a_schedule_nothing_is_due(stage: Kept) -> None:
    later(stage, 50)
    assert told(stage, every_ms=0).state == "ok"
    assert "none are made by schedule" in told(stage, every_ms=0).seen
    stage.made()
    assert "the newest of 1 shard" in told(stage, every_ms=0).seen


def test_one_that_is_damaged_or_of_other_topics_does_not_count(stage: Kept, tmp_path: Path) -> None:
    manifest = file_of(stage.made(), "manifest.json", tmp_path / "shelf")
    later(stage, 3)
    assert told(stage).state == "ok"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-20])
    assert "shard 0 (none)" in told(stage).seen
    manifest.write_bytes(whole)
    stage.cluster.topic("documents").id = "another"
    assert "shard 0 (none)" in told(stage).seen


def test_a_location_that_cannot_be_read_is_told(stage: Kept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [finding] = look(stage.cluster, Shelf(Location(str(tmp_path / "file"))), EVERY_MS, stage.clock.now_ms)
    assert finding.state == "warn"
    assert "file" in finding.seen
