"""One contract for every store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.streams.errors import SnapshotUnusable, StoreDamaged, WrongSetup
from refrain.streams.store import sorted_files
from refrain.streams.store.interface import Checkpoint, Store, digest
from refrain.streams.store.memory import MemoryStore
from refrain.streams.store.rocksdb import RocksStore, open_or_replace


@pytest.fixture(params=["memory", "rocks"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made: Store = MemoryStore() if request.param == "memory" else RocksStore(tmp_path / "s")
    yield made
    made.close()


def test_a_new_store_is_empty_and_reaches_nothing(store: Store) -> None:
    assert list(store.scan()) == []
    assert store.checkpoint() == Checkpoint(0, 0)
    assert store.get(b"a") is None


def test_a_batch_puts_deletes_and_moves_the_reach(store: Store) -> None:
    store.write({b"a/1": b"x", b"a/2": b"y", b"b/1": b""}, Checkpoint(3, 30))
    store.write({b"a/1": None, b"a/2": b"z", b"gone": None}, Checkpoint(6, 60))
    assert list(store.scan()) == [(b"a/2", b"z"), (b"b/1", b"")]
    assert store.get(b"a/1") is None
    assert store.checkpoint() == Checkpoint(6, 60)


def test_a_scan_follows_the_order_of_keys_within_a_prefix(store: Store) -> None:
    store.write({b"b/2": b"2", b"a/9": b"9", b"b/1": b"1", b"c/0": b"0"}, Checkpoint(1, 1))
    assert [key for key, _ in store.scan(b"b/")] == [b"b/1", b"b/2"]


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorted_files, "FILE_BYTES", 50)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("count", [0, 1, 100])
def test_a_filled_store_holds_the_rows_and_takes_more(store: Store, count: int) -> None:
    rows = {f"a/{number:03d}".encode(): b"x" * number for number in range(count)}
    store.fill(rows.items(), Checkpoint(3, 30))
    assert (dict(store.scan()), store.checkpoint()) == (rows, Checkpoint(3, 30))
    store.write({b"a/000": None, b"a/050": b"y", b"b": b"z"}, Checkpoint(4, 40))
    now = {**rows, b"a/050": b"y", b"b": b"z"}
    now.pop(b"a/000", None)
    assert (dict(store.scan()), store.checkpoint()) == (now, Checkpoint(4, 40))


@pytest.mark.usefixtures("small_files")
def test_what_rows_raise_leaves_a_store_whose_checkpoint_is_0(store: Store) -> None:
    def rows() -> Iterator[tuple[bytes, bytes]]:
        yield from ((f"a/{number}".encode(), b"x" * 60) for number in range(5))
        raise SnapshotUnusable("cut off")

    with pytest.raises(SnapshotUnusable, match="cut off"):
        store.fill(rows(), Checkpoint(3, 30))
    assert store.checkpoint() == Checkpoint(0, 0)
    store.wipe()
    store.fill([(b"a/1", b"x")], Checkpoint(3, 30))
    assert list(store.scan()) == [(b"a/1", b"x")]


def test_a_filled_store_is_there_after_a_restart(tmp_path: Path) -> None:
    rows = [(b"a", b"x"), (b"b", b"y")]
    first = RocksStore(tmp_path / "s")
    first.fill(rows, Checkpoint(7, 70))
    first.close()
    second = RocksStore(tmp_path / "s")
    assert (list(second.scan()), second.checkpoint()) == (rows, Checkpoint(7, 70))
    second.close()


def test_a_wiped_store_is_empty(store: Store) -> None:
    store.write({b"a": b"x"}, Checkpoint(1, 1))
    store.wipe()
    assert list(store.scan()) == []
    assert store.checkpoint() == Checkpoint(0, 0)


@given(rows=st.dictionaries(st.binary(min_size=1, max_size=8).filter(lambda k: k[0] > 0), st.binary(max_size=16)))
def test_both_stores_have_the_same_digest(rows: dict[bytes, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    makers: list[Callable[[], Store]] = [MemoryStore, lambda: RocksStore(tmp_path_factory.mktemp("s") / "s")]
    digests = set()
    for make in makers:
        made = make()
        made.write(rows, Checkpoint(1, 1))
        digests.add(digest(made.scan()))
        made.close()
    assert len(digests) == 1


def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = RocksStore(tmp_path / "s")
    first.write({b"a": b"x"}, Checkpoint(7, 70))
    first.close()
    second = RocksStore(tmp_path / "s")
    assert (second.get(b"a"), second.checkpoint()) == (b"x", Checkpoint(7, 70))
    second.close()


def test_a_damaged_store_is_replaced_by_an_empty_one(tmp_path: Path) -> None:
    first = RocksStore(tmp_path / "s")
    first.write({b"a": b"x"}, Checkpoint(7, 70))
    first.close()
    (tmp_path / "s" / "CURRENT").write_bytes(b"junk")
    with pytest.raises(StoreDamaged):
        RocksStore(tmp_path / "s")
    second, why = open_or_replace(tmp_path / "s")
    assert why is not None
    assert second.checkpoint() == Checkpoint(0, 0)
    second.close()


def test_a_store_that_another_worker_holds_is_left_alone(tmp_path: Path) -> None:
    first = RocksStore(tmp_path / "s")
    with pytest.raises(WrongSetup, match="another worker"):
        open_or_replace(tmp_path / "s")
    first.close()
