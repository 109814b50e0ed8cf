"""Local stores of a lookup worker: opened once, closed again, and restored where they cannot be gone on with."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from refrain.streams.errors import WrongSetup
from refrain.streams.lookup.restore import restore
from refrain.streams.lookup.restoring import PendingRestore
from refrain.streams.store.interface import Store
from refrain.streams.store.memory import MemoryStore
from tests.streams.lookup.stage import Stage, expected, stage_records, traffic
from tests.streams.shard.journal import JOURNAL_ID


class Locked(MemoryStore):
    """A store that, as RocksDB's, only one may have open."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = False

    def close(self) -> None:
        assert self.is_open
        self.is_open = False


def test_a_partition_that_comes_and_goes_finds_its_store_closed() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    locked = {partition: Locked() for partition in range(2)}

    def opened(partition: int) -> Store:
        assert not locked[partition].is_open, "it is still open elsewhere"
        locked[partition].is_open = True
        return locked[partition]

    stage.open_store = opened
    worker = stage.worker()
    for _ in range(50):
        worker.assigned([0, 1])
        worker.lost([0, 1])
    stage.run(worker)
    assert stage.decisions() == expected(stage_records(stage, 0))[1]
    worker.close()
    assert not any(each.is_open for each in locked.values())


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_restore_that_nobody_wants_closes_its_store(moment: str) -> None:
    restoring, store = PendingRestore(), Locked()
    store.is_open = True
    steps: list[Callable[[], object]] = [restoring.abandon, lambda: restoring.finish(store)]
    for step in steps if moment == "before" else reversed(steps):
        step()
    assert not store.is_open


@pytest.mark.parametrize("change", ["journal_id", "count"])
def test_documents_of_another_journal_are_not_folded_on(change: str) -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    stage.run(stage.worker())
    if change == "count":
        stage.cluster.create("journal", 4, topic_id=JOURNAL_ID)
    with pytest.raises(WrongSetup, match="journal"):
        restore(
            stage.cluster,
            0,
            "other-id" if change == "journal_id" else JOURNAL_ID,
            MemoryStore(),
            stage.clock,
            lambda: False,
        )


def test_a_store_older_than_the_deletions_that_are_kept_is_restored_from_the_start() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    stage.run(stage.worker())
    store = stage.stores[0]
    checkpoint = store.checkpoint()
    store.write({b"entries/00000000000000000009": b"junk that a deletion missed"}, checkpoint)
    stage.clock.now_ms += stage.cluster.tombstones_ms("documents")
    restore(stage.cluster, 0, JOURNAL_ID, store, stage.clock, lambda: False)
    assert dict(store.scan()) == stage.documents(0)


def test_a_store_whose_records_cannot_be_read_is_restored_from_the_start() -> None:
    stage, journal = Stage(), traffic()
    stage.journal(journal)
    stage.run(stage.worker())
    store = stage.stores[0]
    (key, _), *_ = store.scan(b"entries/")
    store.write({key: b"{junk"}, store.checkpoint())
    shard = restore(stage.cluster, 0, JOURNAL_ID, store, stage.clock, lambda: False)
    assert len(shard.entries) == 4
    assert dict(store.scan()) == stage.documents(0)
