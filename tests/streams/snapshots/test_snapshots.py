"""Snapshots of shards: what is restored from one, and what becomes of one that is damaged or of something else."""

from __future__ import annotations

import hashlib
import json
import logging
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from refrain.schemas.documents import Meta
from refrain.streams.errors import RestoreAbandoned, SnapshotUnusable, StoreUnusable, WrongSetup
from refrain.streams.kafka.interface import Cluster, Outgoing, Record
from refrain.streams.kafka.wrapped import WrappedCluster
from refrain.streams.lookup.restore import restore
from refrain.streams.shard.behaviour import BEHAVIOUR
from refrain.streams.shard.columns import META_KEY
from refrain.streams.shard.fold import fold
from refrain.streams.shard.index.entries import EntryIndex
from refrain.streams.shard.index.hnsw import HnswIndex, SavedGraph
from refrain.streams.shard.state import Shard
from refrain.streams.snapshots import manifest as manifests
from refrain.streams.snapshots.location import Location
from refrain.streams.snapshots.making import Outcome, make_snapshot
from refrain.streams.snapshots.rows import RowsWritten
from refrain.streams.snapshots.shelf import Shelf
from refrain.streams.snapshots.snapshot import Snapshot
from refrain.streams.store.interface import Store, digest
from refrain.streams.store.memory import MemoryStore
from refrain.streams.store.rocksdb import RocksStore
from refrain.streams.vectors import Floats
from tests.streams.lookup.stage import Stage, moving, traffic
from tests.streams.shard.journal import JOURNAL_ID, Journal, policy, vector

KEEP, KEEP_MS = 3, 0
Log = pytest.LogCaptureFixture


class Kept(Stage):
    """A stage with a shelf of snapshots."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self.shelf = Shelf(Location(url))

    def play(self, journal: Journal) -> None:
        """Record a journal, and have a worker fold and commit it."""
        self.journal(journal)
        worker = self.worker()
        self.run(worker)
        worker.close()

    def snapshot(self, partition: int = 0, *, keep: int = KEEP, keep_ms: int = KEEP_MS) -> Outcome:
        self.clock.now_ms += 1_000
        return make_snapshot(self.cluster, self.shelf, partition, self.clock, keep=keep, keep_ms=keep_ms)

    def made(self, **limits: int) -> Snapshot:
        """A new snapshot of shard 0."""
        outcome = self.snapshot(**limits)
        assert outcome.snapshot is not None
        assert outcome.is_new
        return outcome.snapshot

    def restored(self, store: Store | None = None) -> Shard:
        return restore(self.cluster, 0, JOURNAL_ID, store or MemoryStore(), self.clock, lambda: False, shelf=self.shelf)


class Watched(WrappedCluster):
    """A cluster that notes from where on `documents` is read."""

    def __init__(self, inner: Cluster) -> None:
        super().__init__(inner)
        self.starts: list[int] = []

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = lambda: False
    ) -> Iterator[Record]:
        if topic == "documents":
            self.starts.append(start)
        return super().scan(topic, partition, start, stop=stop)


def more(count: int = 3) -> Journal:
    """A little traffic that follows."""
    journal = Journal(0)
    journal.policy(quota={"cap": 4})
    for number in range(count):
        asked = journal.ask(f"more {number}", vector(*[0.0] * number, 1.0, 1.0), offset=500 + number)
        journal.answer(json.loads(asked.value or b"")["id"], f"m{number}")
    return journal


def file_of(snapshot: Snapshot, name: str, shelf: Path) -> Path:
    return shelf / snapshot.name / name


@pytest.fixture
def stage(tmp_path: Path) -> Kept:
    made = Kept(str(tmp_path / "shelf"))
    made.play(traffic())
    return made


@pytest.fixture
def only_snapshots(stage: Kept) -> Kept:
    """A stage whose changelog has lost what the snapshot holds: what is restored there comes from the snapshot."""
    stage.made()
    records = stage.cluster.topic("documents").records[0]
    records[:] = [record._replace(key=None) for record in records]
    return stage


# -- restores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journal", [traffic, moving])
def test_a_snapshot_holds_the_state_that_was_committed(journal: Callable[[], Journal], tmp_path: Path) -> None:
    stage = Kept(str(tmp_path))
    stage.play(journal())
    known = stage.made().manifest
    store = stage.stores[0]
    meta = Meta.decode(store.get(META_KEY) or b"")
    assert known.state == digest(store.scan())
    assert known.journal_offset == meta.next_offset
    assert known.documents_offset == store.checkpoint().next_offset
    assert known.behaviour == BEHAVIOUR
    assert known.entries == len(stage.restored().entries)


def test_a_lost_store_is_restored_from_the_snapshot_and_the_changelog_since(stage: Kept, caplog: Log) -> None:
    stage.made()
    stage.play(more())
    watched = Watched(stage.cluster)
    store = MemoryStore()
    with caplog.at_level(logging.INFO):
        restore(watched, 0, JOURNAL_ID, store, stage.clock, lambda: False, shelf=stage.shelf)
    assert dict(store.scan()) == stage.documents(0)
    assert min(watched.starts) > 0
    assert "begins from snapshot shard-0000/" in caplog.text


def test_a_restored_shard_decides_like_one_that_lived(stage: Kept) -> None:
    stage.made()
    lived = restore(stage.cluster, 0, JOURNAL_ID, stage.stores[0], stage.clock, lambda: False)
    restored = stage.restored()
    again = Journal(0)
    for number in range(12):
        asked = again.ask(f"q{number % 9}", vector(*[0.0] * (number % 9), 1.0), offset=900 + number)
        record = asked._replace(offset=lived.next_offset)
        one, other = fold(lived, record), fold(restored, record)
        assert one.decisions == other.decisions
        assert one.effects == other.effects


def test_a_local_store_is_newer_than_a_snapshot_and_stays(stage: Kept) -> None:
    stage.made()
    stage.play(more())
    store = stage.stores[0]
    before = dict(store.scan())
    stage.restored(store)
    assert dict(store.scan()) == before


def test_a_store_that_was_half_filled_begins_again(stage: Kept) -> None:
    snapshot = stage.made()
    store = MemoryStore()
    rows = dict(list(snapshot.rows())[:3])
    store.write({**rows, b"entries/00000000000000000009": b"what a later snapshot does not have"}, store.checkpoint())
    stage.restored(store)
    assert dict(store.scan()) == stage.documents(0)


def test_a_rocksdb_is_filled_from_a_snapshot(stage: Kept, tmp_path: Path) -> None:
    stage.made()
    store = RocksStore(tmp_path / "store")
    try:
        stage.restored(store)
        assert dict(store.scan()) == stage.documents(0)
        assert store.checkpoint().next_offset == stage.stores[0].checkpoint().next_offset
    finally:
        store.close()


# -- making ---------------------------------------------------------------------------------------------------


def test_a_snapshot_is_made_from_the_one_before_it(only_snapshots: Kept) -> None:
    first = only_snapshots.snapshot().snapshot
    assert first is not None
    only_snapshots.play(more())
    second = only_snapshots.made()
    assert second.manifest.state == digest(only_snapshots.stores[0].scan()) != first.manifest.state


def test_a_transaction_that_is_not_whole_is_left_out(stage: Kept) -> None:
    store = stage.stores[0]
    stage.cluster.append([Outgoing("documents", b"entries/00000000000000000999", b"{}", (), 0)])
    known = stage.made().manifest
    assert known.state == digest(store.scan())
    assert known.documents_offset == store.checkpoint().next_offset


def test_a_shard_that_has_committed_nothing_gets_none(stage: Kept) -> None:
    outcome = stage.snapshot(1)
    assert outcome.snapshot is None
    assert not stage.shelf.names(1)
    assert "nothing" in outcome.text


def test_the_same_state_is_kept_once_until_its_snapshot_grows_old(stage: Kept) -> None:
    first = stage.made()
    again = stage.snapshot()
    assert not again.is_new
    assert again.snapshot is not None
    assert again.snapshot.name == first.name
    stage.clock.now_ms += stage.cluster.tombstones_ms("documents") // 2
    assert stage.snapshot().is_new


def test_files_are_their_owners_alone(stage: Kept, tmp_path: Path) -> None:
    stage.made()
    found = list((tmp_path / "shelf").rglob("*"))
    assert {path.name for path in found if path.is_file()} == {"manifest.json", "rows.zst"}
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in found} == {0}


def test_a_location_in_memory_serves_as_well(stage: Kept) -> None:
    elsewhere = Kept("memory://snapshots/a")
    elsewhere.play(traffic())
    try:
        elsewhere.made()
        store = MemoryStore()
        elsewhere.restored(store)
        assert dict(store.scan()) == elsewhere.documents(0)
        elsewhere.play(more())
        elsewhere.made(keep=1)
        assert len(elsewhere.shelf.names(0)) == 1
    finally:
        MemoryFileSystem.store.clear()
        MemoryFileSystem.pseudo_dirs[:] = [""]


# -- which are kept -------------------------------------------------------------------------------------------


def test_the_newest_so_many_are_kept(stage: Kept) -> None:
    names = []
    for number in range(4):
        names.append(stage.made(keep=2).name.partition("/")[2])
        stage.play(more(number + 1))
    assert stage.shelf.names(0) == names[:1:-1]


def test_old_ones_go_and_the_newest_that_verifies_stays(stage: Kept) -> None:
    stage.made()
    stage.play(more())
    stage.clock.now_ms += 10_000
    newest = stage.made(keep_ms=5_000)
    assert [f"shard-0000/{name}" for name in stage.shelf.names(0)] == [newest.name]
    stage.clock.now_ms += 10**9
    assert stage.snapshot(keep_ms=5_000).is_new
    assert len(stage.shelf.names(0)) == 1


def test_those_of_another_cluster_are_left_alone(stage: Kept, tmp_path: Path) -> None:
    other = stage.made()
    altered(other, tmp_path / "shelf", topics={"journal": "another", "documents": "another"})
    for number in range(3):
        stage.play(more(number + 1))
        stage.made(keep=1, keep_ms=1)
    newest, left = stage.shelf.names(0)
    assert f"shard-0000/{left}" == other.name
    assert newest > left


def test_what_was_never_finished_goes_after_a_day(stage: Kept, tmp_path: Path) -> None:
    unfinished = file_of(stage.made(), "manifest.json", tmp_path / "shelf")
    unfinished.unlink()
    stage.play(more())
    stage.made()
    assert len(stage.shelf.names(0)) == 2
    stage.clock.now_ms += 2 * 86_400_000
    assert stage.snapshot().gone == [unfinished.parent.name]


def test_nothing_is_left_of_a_snapshot_that_could_not_be_written(
    stage: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Snapshot) -> None:
        raise SnapshotUnusable("rows.zst cannot be read: No space left on device")

    monkeypatch.setattr(Snapshot, "verify", full)
    with pytest.raises(SnapshotUnusable, match="No space left"):
        stage.snapshot()
    assert not stage.shelf.names(0)


# -- what is not used -----------------------------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x40
    path.write_bytes(bytes(data))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize("looks", range(3))
def test_a_restore_that_is_abandoned_ends_and_the_next_one_is_whole(looks: int, stage: Kept, tmp_path: Path) -> None:
    stage.play(traffic())
    stage.made()
    store, left = RocksStore(tmp_path / "store"), iter([False] * looks)
    with pytest.raises(RestoreAbandoned):
        restore(stage.cluster, 0, JOURNAL_ID, store, stage.clock, lambda: next(left, True), shelf=stage.shelf)
    shard = stage.restored(store)
    assert digest(shard.store.scan()) == digest(stage.stores[0].scan())
    store.close()


@pytest.mark.parametrize("at", range(0, 400, 23))
def test_whatever_byte_of_the_rows_is_another_the_file_is_named(at: int, stage: Kept, tmp_path: Path) -> None:
    stage.play(traffic())
    snapshot = stage.made()
    flip(file_of(snapshot, "rows.zst", tmp_path / "shelf"), at)
    with pytest.raises(SnapshotUnusable, match=r"^rows\.zst"):
        list(snapshot.rows())


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "flipped byte": ("rows.zst", lambda path: flip(path, 40), "rows.zst"),
    "flipped length": ("rows.zst", lambda path: flip(path, 0), "rows.zst"),
    "truncated": ("rows.zst", cut, "rows.zst"),
    "empty": ("rows.zst", lambda path: path.write_bytes(b""), "rows.zst"),
    "missing rows": ("rows.zst", Path.unlink, "rows.zst"),
    "missing manifest": ("manifest.json", Path.unlink, "manifest.json is missing"),
    "flipped manifest": ("manifest.json", lambda path: flip(path, 30), "manifest.json"),
    "truncated manifest": ("manifest.json", cut, "manifest.json is cut off"),
    "another file": ("manifest.json", lambda path: path.write_bytes(b"[1, 2]"), "no manifest"),
    "later version": (
        "manifest.json",
        lambda path: path.write_bytes(path.read_bytes().replace(b'"v":1', b'"v":2')),
        "is of version 2",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_one_is_refused_and_the_previous_taken_and_then_the_changelog(
    damage: str, stage: Kept, tmp_path: Path, caplog: Log
) -> None:
    name, spoil, told = DAMAGES[damage]
    first = stage.made()
    stage.play(more())
    second = stage.made()
    spoil(file_of(second, name, tmp_path / "shelf"))
    caplog.clear()
    store = MemoryStore()
    with caplog.at_level(logging.INFO):
        stage.restored(store)
    refused, begun = [r.getMessage() for r in caplog.records if "snapshot" in r.getMessage()]
    assert second.name in refused
    assert told in refused
    assert first.name in begun
    assert dict(store.scan()) == stage.documents(0)

    spoil(file_of(first, name, tmp_path / "shelf"))
    caplog.clear()
    store = MemoryStore()
    stage.restored(store)
    *_, last = [r.getMessage() for r in caplog.records if "snapshot" in r.getMessage()]
    assert "no snapshot is used: documents is read from its start" in last
    assert dict(store.scan()) == stage.documents(0)


def altered(snapshot: Snapshot, shelf: Path, **fields: object) -> None:
    """Write another manifest, whole by its own digest."""
    body = {**snapshot.manifest.model_dump(), **fields}
    file_of(snapshot, "manifest.json", shelf).write_bytes(manifests.Manifest.model_validate(body).encode())


def test_rows_out_of_order_are_no_snapshot(stage: Kept, tmp_path: Path, caplog: Log) -> None:
    snapshot = stage.made()
    backwards = RowsWritten()
    data = b"".join(backwards.blocks(reversed(list(snapshot.rows()))))
    file_of(snapshot, "rows.zst", tmp_path / "shelf").write_bytes(data)
    file = manifests.File(name="rows.zst", bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    altered(snapshot, tmp_path / "shelf", rows=file, state=backwards.state)
    with pytest.raises(SnapshotUnusable, match="rows are out of order"):
        next(iter(stage.shelf.suited(0, lambda each: None))).verify()
    store = RocksStore(tmp_path / "store")
    try:
        stage.restored(store)
        assert "rows.zst: its rows are out of order" in caplog.text
        assert dict(store.scan()) == stage.documents(0)
    finally:
        store.close()


FOREIGN: dict[str, tuple[dict[str, object], str]] = {
    "journal": ({"topics": {"journal": "other", "documents": "x"}}, "journal was made again"),
    "shard": ({"partition": 1}, "of shard 1 of 2"),
    "count": ({"shards": 3}, "of shard 0 of 3"),
    "behaviour": ({"behaviour": "fold-6/abc"}, "its state is of fold-6/abc"),
    "ahead": ({"documents_offset": 10_000}, "ahead of the log: it reaches 10000"),
    "ahead of the journal": ({"journal_offset": 10_000}, "journal ends at"),
    "old": ({"made_ms": 0}, "deletions since may be gone"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_snapshot_of_something_else_is_named_for_what_it_is(
    what: str, stage: Kept, tmp_path: Path, caplog: Log
) -> None:
    fields, told = FOREIGN[what]
    stage.clock.now_ms += stage.cluster.tombstones_ms("documents")
    altered(stage.made(), tmp_path / "shelf", **fields)
    store = MemoryStore()
    stage.restored(store)
    refused, instead = [r.getMessage() for r in caplog.records]
    assert told in refused
    assert "documents is read from its start" in instead
    assert dict(store.scan()) == stage.documents(0)


def test_a_snapshot_is_not_used_when_the_log_was_made_again(stage: Kept, caplog: Log) -> None:
    stage.made()
    stage.cluster.create("documents", 2)
    stage.restored()
    assert "documents was made again" in caplog.text


def test_a_snapshot_is_not_used_when_what_came_next_is_gone_from_the_log(stage: Kept, caplog: Log) -> None:
    stage.made()
    stage.play(more())
    _, end = stage.cluster.ends("documents")[0]
    stage.cluster.delete_records("documents", 0, end)
    stage.restored()
    assert "what came between is gone" in caplog.text


def test_an_unknown_scheme_is_a_wrong_setting() -> None:
    with pytest.raises(WrongSetup, match=r"snapshots\.location xyz://bucket/a .*Protocol not known"):
        Location("xyz://user:secret@bucket/a")


def test_no_password_of_a_location_is_told() -> None:
    with pytest.raises(WrongSetup) as told:
        Location("xyz://user:secret@bucket/a")
    assert "secret" not in str(told.value)


def test_a_location_that_takes_nothing_is_named(stage: Kept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    stage.shelf = Shelf(Location(str(tmp_path / "file")))
    with pytest.raises(SnapshotUnusable, match=r"file/shard-0000.* cannot be written: "):
        stage.snapshot()


# -- graphs ---------------------------------------------------------------------------------------------------


DIM = 16


def unit(seed: int) -> tuple[float, ...]:
    return tuple(np.random.default_rng(seed).normal(size=DIM).tolist())


def large(count: int, first: int = 0) -> Journal:
    """Questions with answers, in one namespace that is searched by an HNSW."""
    journal = Journal(0)
    journal.policy(limits={"hnsw_from": 16}, quota={"cap": 50})
    for number in range(first, first + count):
        asked = journal.ask(f"q{number}", vector(*unit(number)), offset=2_000 + number)
        journal.answer(json.loads(asked.value or b"")["id"], f"a{number}")
    return journal


@pytest.fixture
def with_graph(tmp_path: Path) -> Kept:
    made = Kept(str(tmp_path / "shelf"))
    made.play(large(60))
    return made


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many vectors are added to an HNSW that is built."""
    counts: list[int] = []
    add_many = HnswIndex.add_many

    def counting(self: HnswIndex, owners: npt.NDArray[np.int32], vectors: Floats, threads: int) -> None:
        counts.append(len(owners))
        add_many(self, owners, vectors, threads)

    monkeypatch.setattr(HnswIndex, "add_many", counting)
    return counts


def hits(shard: Shard, numbers: range) -> list[str]:
    """The entry that each question is served from."""
    again, out = Journal(0), []
    for number in numbers:
        record: Record = again.ask(f"q{number}, said otherwise", vector(*unit(number)), offset=9_000 + number)
        (decision,) = fold(shard, record._replace(offset=shard.next_offset)).decisions
        out.append(f"{decision.outcome} {decision.entry_id} {decision.similarity} {decision.search}")
    return out


@pytest.mark.parametrize("local", ["lost", "kept"])
def test_a_saved_graph_spares_the_building_and_serves_the_same(local: str, with_graph: Kept, built: list[int]) -> None:
    with_graph.made()
    with_graph.play(large(10, 60))
    live = restore(with_graph.cluster, 0, JOURNAL_ID, with_graph.stores[0], with_graph.clock, lambda: False)
    expected = hits(live, range(70))
    built.clear()
    store = MemoryStore() if local == "lost" else with_graph.stores[0]
    shard = with_graph.restored(store)
    assert sum(built) == 10
    assert hits(shard, range(70)) == expected
    assert sum(each.startswith("hit ") and each.endswith(" ann") for each in expected) == 50


def test_the_graph_of_a_snapshot_made_from_another_has_the_removed_ones_marked(with_graph: Kept) -> None:
    with_graph.made()
    with_graph.play(large(10, 60))
    with_graph.made()
    shard = with_graph.restored()
    assert sum(each.startswith("hit ") for each in hits(shard, range(70))) == 50


def test_a_graph_through_which_too_much_has_gone_is_built_anew(with_graph: Kept, built: list[int]) -> None:
    with_graph.made()
    with_graph.play(large(45, 60))
    built.clear()
    with_graph.made()
    assert sum(built) == 45 + 50
    shard = with_graph.restored()
    assert sum(each.startswith("hit ") for each in hits(shard, range(105))) == 50


@pytest.mark.parametrize("name", ["graph-0.hnsw", "graph-0.ids"])
def test_a_damaged_graph_is_built_anew_and_the_rest_is_used(
    name: str, with_graph: Kept, tmp_path: Path, built: list[int], caplog: Log
) -> None:
    snapshot = with_graph.made()
    flip(file_of(snapshot, name, tmp_path / "shelf"), 100)
    built.clear()
    with caplog.at_level(logging.INFO):
        with_graph.restored()
    assert sum(built) == 50
    assert f"{name} is damaged" in caplog.text
    assert f"begins from snapshot {snapshot.name}" in caplog.text


def test_graphs_of_another_library_are_not_read(
    with_graph: Kept, tmp_path: Path, built: list[int], caplog: Log
) -> None:
    altered(with_graph.made(), tmp_path / "shelf", graph_format="hnswlib-0.1/big/32")
    built.clear()
    with_graph.restored()
    assert sum(built) == 50
    assert "hnswlib-0.1/big/32" in caplog.text


def test_a_graph_that_the_disk_takes_in_part_makes_no_snapshot(
    with_graph: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_graph.made()
    with_graph.play(large(10, 60))
    save = EntryIndex.save_graph

    def full(self: EntryIndex, space: bytes, path: Path) -> SavedGraph:
        path.symlink_to("/dev/null")
        return save(self, space, path)

    monkeypatch.setattr(EntryIndex, "save_graph", full)
    with pytest.raises(SnapshotUnusable, match=r"graph-0.hnsw cannot be written: No space left"):
        with_graph.snapshot()
    assert len(with_graph.shelf.names(0)) == 1


def test_a_folder_for_the_store_that_is_not_there_is_named(stage: Kept, tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="no folder for a store can be made"):
        make_snapshot(stage.cluster, stage.shelf, 0, stage.clock, keep=KEEP, keep_ms=KEEP_MS, work=tmp_path / "missing")


def test_policies_stand_in_a_snapshot(with_graph: Kept) -> None:
    with_graph.made()
    shard = with_graph.restored()
    assert shard.policy is not None
    assert shard.policy.policy == policy(limits={"hnsw_from": 16}, quota={"cap": 50})
