"""An audit from a snapshot finds what one from the journal's first record finds behind it."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.audit.effects import Effects, PublishedEffects
from refrain.ops.audit.findings import Findings, Kind
from refrain.ops.audit.limits import Asked
from refrain.ops.audit.partition import Audited, PartitionAudit
from refrain.ops.audit.whole import lay_out
from refrain.streams.store.interface import digest
from tests.ops.audit.audited import kinds, rewrite, rows
from tests.streams.lookup.stage import traffic
from tests.streams.snapshots.test_snapshots import Kept, file_of, flip, large, more


def audited(stage: Kept, folder: Path, *, from_ms: int = 0, snapshots: bool = True) -> Audited:
    laid = lay_out(stage.cluster, [0], folder)
    published, findings = PublishedEffects(folder / "0"), Findings(0)
    shelf = stage.shelf if snapshots else None
    try:
        effects = Effects(published, laid.kept_from_ms, findings)
        audit = PartitionAudit(stage.cluster, 0, effects, findings, shelf=shelf, from_ms=from_ms)
        return audit.run(Asked(from_ms=from_ms))
    finally:
        published.close()


@pytest.fixture
def stage(tmp_path: Path) -> Kept:
    """Traffic, a snapshot, and more traffic."""
    made = Kept(str(tmp_path / "shelf"))
    made.play(traffic())
    made.made()
    made.play(more())
    return made


def test_what_came_behind_a_snapshot_is_as_a_fold_gives_it(stage: Kept, tmp_path: Path) -> None:
    whole, later = audited(stage, tmp_path / "a", snapshots=False), audited(stage, tmp_path / "b")
    assert later.findings.found == []
    assert later.state == whole.state == digest(stage.stores[0].scan())
    assert 0 < later.findings.counts["records"] == whole.end - later.begun_at < whole.findings.counts["records"]
    assert 0 < later.findings.counts["decisions"] < whole.findings.counts["decisions"]
    assert later.findings.counts["decisions_gone"] == 0
    assert later.snapshot == f"shard-0000/{stage.shelf.names(0)[0]}"


def test_a_namespace_with_a_graph_is_audited_from_a_snapshot(tmp_path: Path) -> None:
    stage = Kept(str(tmp_path / "shelf"))
    stage.play(large(60))
    stage.made()
    stage.play(large(12, 52))
    found = audited(stage, tmp_path / "a")
    assert found.findings.found == []
    assert found.index_searched > 0
    assert found.state == digest(stage.stores[0].scan())


def test_a_journal_that_was_cut_is_audited_from_where_a_snapshot_is(stage: Kept, tmp_path: Path) -> None:
    begun_at = audited(stage, tmp_path / "a").begun_at
    stage.cluster.delete_records("journal", 0, begun_at)
    assert audited(stage, tmp_path / "b", snapshots=False).is_cut
    found = audited(stage, tmp_path / "c")
    assert not found.is_cut
    assert found.findings.found == []
    stage.cluster.delete_records("journal", 0, begun_at + 1)
    assert audited(stage, tmp_path / "d").is_cut


@pytest.mark.parametrize("topic", ["decisions", "documents"])
def test_an_altered_record_behind_a_snapshot_is_named_and_one_before_it_is_not_looked_at(
    topic: str, stage: Kept, tmp_path: Path
) -> None:
    def alter(value: dict[str, object]) -> None:
        value["time_ms" if topic == "documents" else "at_ms"] = 5

    last = max(n for n, each in enumerate(rows(stage, topic)) if topic == "decisions" or each.key == b"meta/meta")
    rewrite(stage, topic, 2 if topic == "decisions" else 0, alter)
    assert audited(stage, tmp_path / "a").findings.found == []
    rewrite(stage, topic, last, alter)
    expected = Kind.DECISION_DIFFERS if topic == "decisions" else Kind.DOCUMENT_DIFFERS
    assert kinds(audited(stage, tmp_path / "b")) == [expected]


def test_the_first_decision_behind_a_snapshot_is_missed_when_it_is_removed(stage: Kept, tmp_path: Path) -> None:
    begun_at = audited(stage, tmp_path / "a").begun_at
    decisions = rows(stage, "decisions")
    first = next(n for n, each in enumerate(decisions) if int((each.key or b"").split(b"-")[1]) >= 500)
    del decisions[first]
    assert begun_at > 0
    assert kinds(audited(stage, tmp_path / "b")) == [Kind.DECISION_MISSING]


def test_an_audit_from_a_moment_on_begins_before_it(stage: Kept, tmp_path: Path) -> None:
    first = audited(stage, tmp_path / "a").begun_at
    stage.clock.now_ms += 10_000
    moment = stage.clock.now_ms
    stage.clock.now_ms += 10_000
    stage.play(more(5))
    stage.made()
    assert audited(stage, tmp_path / "b").begun_at > first
    assert audited(stage, tmp_path / "c", from_ms=moment).begun_at == first
    assert audited(stage, tmp_path / "d", from_ms=1).begun_at == 0


def test_a_damaged_snapshot_is_told_and_the_audit_begins_with_the_first_record(
    stage: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (listed,) = stage.shelf.listed(0)
    assert listed.snapshot is not None
    flip(file_of(listed.snapshot, "rows.zst", tmp_path / "shelf"), 50)
    found = audited(stage, tmp_path / "a")
    assert (found.begun_at, found.findings.found) == (0, [])
    assert "rows.zst" in caplog.text
