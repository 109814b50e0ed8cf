"""Bytes flipped anywhere in a closed store: it opens and reads what was written, or says that it is damaged."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from refrain.streams.errors import StoreDamaged, StoreUnusable
from refrain.streams.store import rocksdb
from refrain.streams.store.interface import Checkpoint
from refrain.streams.store.rocksdb import RocksStore, open_or_replace

ROWS = {f"entries/{number:06d}".encode(): f"the answer to question {number} ".encode() * 40 for number in range(2_000)}
LATER = {f"stats/{number:06d}".encode(): b"1" for number in range(200)}
NOT_OF_THE_STORE = {"LOCK", "LOG"}


def written(store: RocksStore) -> None:
    store.write(ROWS, Checkpoint(1, 1))


def filled(store: RocksStore) -> None:
    store.fill(ROWS.items(), Checkpoint(1, 1))


@pytest.fixture(scope="module", params=[written, filled])
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed store of two batches, most of it in tables and the last one in the write-ahead log."""
    path = tmp_path_factory.mktemp("whole") / "s"
    store = RocksStore(path)
    request.param(store)
    store.close()
    store = RocksStore(path)
    store.write(LATER, Checkpoint(2, 2))
    # As a process that is killed leaves it: the copy is taken before it is closed.
    shutil.copytree(path, path.with_name("killed"))
    store.close()
    return path.with_name("killed")


def damaged(whole: Path, seed: int, folder: Path) -> Path:
    """A copy of the store with some bits of one of its files flipped, or its end cut off."""
    draw = random.Random(seed)
    copy = folder / str(seed)
    shutil.copytree(whole, copy)
    files = [each for each in sorted(copy.iterdir()) if each.name not in NOT_OF_THE_STORE and each.stat().st_size]
    weights = [4 if each.suffix in (".sst", ".log") else 1 for each in files]
    (path,) = draw.choices(files, weights)
    data = bytearray(path.read_bytes())
    if draw.random() < 0.2:
        del data[draw.randrange(len(data)) :]
    for _ in range(draw.choice([1, 3, 50])):
        if data:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.write_bytes(data)
    return copy


@pytest.mark.parametrize("seed", range(80))
def test_a_damaged_store_is_read_rightly_or_said_to_be_damaged(whole: Path, seed: int, tmp_path: Path) -> None:
    copy = damaged(whole, seed, tmp_path)
    store, why = open_or_replace(copy)
    try:
        reach = store.checkpoint().next_offset
        expected = {0: {}, 1: ROWS, 2: ROWS | LATER}[reach]
        assert (why is None) or reach == 0
        assert dict(store.scan()) == expected
        assert all(store.get(key) == expected.get(key) for key in [*ROWS, *LATER])
    except StoreDamaged:
        store.wipe()
    store.write({b"a": b"b"}, Checkpoint(3, 3))
    assert store.get(b"a") == b"b"
    store.close()


def test_what_is_damaged_is_quoted_nowhere(whole: Path, tmp_path: Path) -> None:
    told = []
    for seed in range(40):
        store, why = open_or_replace(damaged(whole, seed, tmp_path))
        told.append(why or "")
        try:
            list(store.scan())
        except StoreDamaged as damage:
            told.append(str(damage))
        store.close()
    assert any(told)
    assert not any("question" in each or "entries/" in each for each in told)


class Full:
    """A database on a disk that takes nothing, or lets nothing be read."""

    def __init__(self, said: str) -> None:
        self._said = said

    def __getattr__(self, name: str) -> Callable[..., object]:
        def fail(*args: object, **more: object) -> object:
            raise Exception(self._said)

        return fail


CALLS: list[Callable[[RocksStore], object]] = [
    lambda store: store.get(b"a"),
    lambda store: store.write({b"a": b"b"}, Checkpoint(1, 1)),
    lambda store: store.fill([(b"a", b"b")], Checkpoint(1, 1)),
    lambda store: list(store.scan()),
    lambda store: store.checkpoint(),
]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("IO error: No space left on device: While appending to file", StoreUnusable),
        ("IO error: While open a file for appending: /s/000009.log: Read-only file system", StoreUnusable),
        ("IO error: While open a file: /s/000009.sst: Permission denied", StoreUnusable),
        ("IO error: While open a file: /s/000009.sst: Too many open files", StoreUnusable),
        ("Corruption: block checksum mismatch", StoreDamaged),
        ("IO error: No such file or directory: /s/000009.sst", StoreDamaged),
    ],
)
def test_every_call_tells_a_disk_that_takes_nothing_from_a_damaged_store(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    error: type[Exception],
    call: Callable[[RocksStore], object],
) -> None:
    monkeypatch.setattr(rocksdb, "Rdict", lambda *args, **more: Full(said))
    store = RocksStore(tmp_path / "s")
    with pytest.raises(error):
        call(store)
    store.close()


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise Exception("IO error: No space left on device: While mkdir if missing")

    monkeypatch.setattr(rocksdb, "Rdict", refuse)


@pytest.mark.usefixtures("refusing")
def test_a_store_that_the_disk_does_not_take_is_not_deleted(tmp_path: Path) -> None:
    kept = tmp_path / "s" / "000009.sst"
    kept.parent.mkdir()
    kept.write_bytes(b"x")
    with pytest.raises(StoreUnusable, match="No space left"):
        open_or_replace(tmp_path / "s")
    assert kept.read_bytes() == b"x"


def test_a_place_that_cannot_be_a_folder_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreUnusable):
        RocksStore(tmp_path / "file" / "s")
