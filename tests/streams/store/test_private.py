"""What workers write is read by its owner alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from refrain.streams.store.interface import Checkpoint
from refrain.streams.store.private import OTHERS, exposed, keep_private, make_private, private_opener, replacing
from refrain.streams.store.rocksdb import RocksStore
from refrain.streams.store.state_directory import lock_state_directory


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> str:
    return oct(path.stat().st_mode & 0o777)


def modes(folder: Path) -> set[str]:
    return {mode(path) for path in folder.rglob("*") if path.is_file()}


def test_a_store_of_a_worker_is_its_owners_alone(tmp_path: Path) -> None:
    keep_private()
    locked = lock_state_directory(tmp_path / "state")
    store = RocksStore(locked.folder("journal") / "3")
    store.write({b"entries/1": b"a question"}, Checkpoint(1, 1))
    store.close()
    locked.release()
    assert mode(tmp_path / "state") == mode(locked.path) == "0o700"
    assert modes(tmp_path / "state") == {"0o600"}


def test_what_an_earlier_worker_left_open_is_taken_from_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    store = RocksStore(tmp_path / "lookup-0" / "journal" / "3")
    store.write({b"entries/1": b"a question"}, Checkpoint(1, 1))
    store.close()
    assert exposed(tmp_path) is not None
    lock_state_directory(tmp_path).release()
    assert exposed(tmp_path) is None
    assert modes(tmp_path / "lookup-0") == {"0o600"}


def test_links_are_left_as_they_are(tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.write_text("of somebody else")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "link").symlink_to(other)
    make_private(mine)
    assert (mode(mine), mode(other)) == ("0o700", "0o644")


def test_what_nobody_can_reach_is_not_exposed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "open").write_text("x")
    assert exposed(closed) is None
    closed.chmod(0o755)
    assert exposed(closed) == closed / "open"
    assert exposed(tmp_path / "nothing") is None


def test_a_file_with_texts_is_made_for_its_owner(tmp_path: Path) -> None:
    with open(tmp_path / "labels", "ab", opener=private_opener) as file:
        file.write(b"x")
    assert mode(tmp_path / "labels") == "0o600"


def test_a_file_is_replaced_whole_or_not_at_all_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"before")
    path.chmod(0o644)

    def fill() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fill()
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"before", [path])
    with replacing(path) as file:
        file.write(b"after")
        assert path.read_bytes() == b"before"
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (b"after", [path])
    assert path.stat().st_mode & OTHERS == 0
