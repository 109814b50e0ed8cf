"""What shards keep is whole in `documents`, or known to be lost, where that was made anew under a worker."""

from __future__ import annotations

import pytest

from refrain.schemas.base import RecoveryWay
from refrain.schemas.responses import Outcome
from refrain.schemas.stats import StopReason
from refrain.streams.errors import StoreDamaged
from refrain.streams.kafka.interface import OffsetAndMetadata
from refrain.streams.lookup.worker import LookupWorker
from refrain.streams.store.interface import digest
from tests.streams.lookup.stage import Stage
from tests.streams.lookup.test_stopped import (
    PASS_AFTER_MS,
    Asking,
    decisions,
    direct_forwards,
    remembered,
    run,
    told,
    worker_of,
)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def shards(stage: Stage) -> tuple[Asking, Asking]:
    return remembered(stage)


def make_anew(stage: Stage) -> None:
    stage.cluster.create("documents", 2)


def works_on(stage: Stage, shards: tuple[Asking, Asking], worker: LookupWorker, turns: int = 8) -> None:
    """Let time pass while questions come."""
    for number in range(turns):
        shards[0].ask(f"q{number % 5}", number % 5)
        run(worker)


def fresh(stage: Stage) -> LookupWorker:
    """The next worker, which has nothing but what the topics hold: stores of another `documents` are deleted."""
    stage.stores.clear()
    worker = worker_of(stage)
    run(worker)
    return worker


@pytest.mark.parametrize("part_bytes", [1, 600, 8_000_000])
def test_a_running_worker_writes_its_shards_again_and_nothing_is_lost(
    stage: Stage, shards: tuple[Asking, Asking], monkeypatch: pytest.MonkeyPatch, part_bytes: int
) -> None:
    monkeypatch.setattr("refrain.streams.lookup.documents.PART_BYTES", part_bytes)
    worker = worker_of(stage)
    run(worker)
    make_anew(stage)
    works_on(stage, shards, worker)
    worker.close()
    states = [digest(stage.stores[each].scan()) for each in (0, 1)]
    restored = fresh(stage)
    assert restored.ready
    assert [digest(stage.stores[each].scan()) for each in (0, 1)] == states
    hit = shards[1].ask("q3", 3)
    run(restored)
    assert decisions(stage)[hit][0].outcome is Outcome.HIT
    assert all(len(found) == 1 for found in decisions(stage).values())


@pytest.mark.parametrize("turns", range(0, 40, 3))
def test_a_worker_that_dies_before_all_is_written_leaves_no_part_that_is_taken_for_the_whole(
    stage: Stage, shards: tuple[Asking, Asking], monkeypatch: pytest.MonkeyPatch, turns: int
) -> None:
    monkeypatch.setattr("refrain.streams.lookup.documents.PART_BYTES", 1)
    worker = worker_of(stage)
    run(worker)
    make_anew(stage)
    for number in range(turns):
        shards[0].ask(f"q{number % 5}", number % 5)
        worker.turn(0)
    responses = len(stage.responses())
    after = fresh(stage)
    lost = after.stopped.told()
    assert {each.reason for each in lost.values()} <= {StopReason.DOCUMENTS_LOST}
    assert {number for number, shard in after.shards.items() if len(shard.entries) == 5} == {0, 1} - set(lost)
    assert all(f"refrain shards recover {number} --empty" in after.trouble for number in lost)
    assert len(lost) == 2 or turns > 0
    assert not lost or turns < 39
    assert len(stage.responses()) == responses, "nothing is answered again"


def test_a_shard_that_was_lost_passes_questions_and_begins_empty_by_order(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    make_anew(stage)
    worker = fresh(stage)
    asked = shards[0].ask("q1", 1)
    run(worker)
    stage.clock.now_ms += PASS_AFTER_MS
    run(worker)
    assert direct_forwards(stage) == [asked]
    # Another worker knows it too, though something is in the topic by now.
    worker = fresh(stage)
    stopped = told(stage)
    assert stopped is not None
    assert stopped.reason is StopReason.DOCUMENTS_LOST
    for each in shards:
        stopped = told(stage, each.partition)
        assert stopped is not None
        each.order(RecoveryWay.EMPTY, stopped.position)
    run(worker)
    assert worker.ready
    again = fresh(stage)
    assert again.ready
    assert all(len(found) == 1 for found in decisions(stage).values())


def test_what_a_worker_committed_that_did_not_tell_is_restored_as_it_is(
    stage: Stage, shards: tuple[Asking, Asking]
) -> None:
    group = stage.cluster.group("journal", "lookup")
    group.offsets = {each: OffsetAndMetadata(kept.next_offset) for each, kept in group.offsets.items()}
    assert fresh(stage).ready
    assert all(kept.metadata for kept in group.offsets.values()) is False
    works_on(stage, shards, worker := worker_of(stage), 1)
    worker.close()
    assert group.offsets[0].metadata == stage.cluster.topic_id("documents")


def test_a_shard_whose_store_cannot_be_read_then_stops_alone(
    stage: Stage, shards: tuple[Asking, Asking], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of(stage)
    run(worker)
    make_anew(stage)

    def fails() -> None:
        raise StoreDamaged("a block of it cannot be read")

    monkeypatch.setattr(stage.stores[0], "scan", lambda *_: fails())
    works_on(stage, (shards[1], shards[0]), worker)
    stopped = worker.stopped.told()
    assert {number: each.reason for number, each in stopped.items()} == {0: StopReason.DOCUMENTS_LOST}
    worker.close()
    monkeypatch.undo()
    assert len(fresh(stage).shards[1].entries) == 5
