"""The RocksDB store: one database a shard, in its folder (rocksdict in raw mode)."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    DBCompressionType,
    IngestExternalFileOptions,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
)

from refrain.streams.errors import RefrainError, StoreDamaged, StoreUnusable, WrongSetup
from refrain.streams.store.interface import Changes, Checkpoint
from refrain.streams.store.sorted_files import write_sorted_files

MEMTABLE_BYTES = 4 << 20
CACHE_BYTES = 32 << 20
OPEN_FILES_MAX = 64
_CHECKPOINT = b"\x00reach"
_FILLING = "filling"
"""The folder of files that the database has not taken over yet; RocksDB leaves alone what it does not know."""
_FOREIGN = ("lock hold", "While lock file")
"""What RocksDB says of a store that another process has open."""
_DISK = (
    "No space left",
    "Read-only file system",
    "Permission denied",
    "Disk quota exceeded",
    "Too many open files",
    "Cannot allocate memory",
)
"""What RocksDB says when the disk, or the system, does not let it work: the store itself is whole."""
_CACHE = Cache(CACHE_BYTES)
"""One block cache for all shards of a worker."""


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(MEMTABLE_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(OPEN_FILES_MAX)
    options.set_keep_log_file_num(2)
    options.set_compression_type(DBCompressionType.lz4())
    blocks = BlockBasedOptions()
    blocks.set_block_cache(_CACHE)
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return options


class RocksStore:
    """The RocksDB database of one shard, in a folder that one process has open at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create it; every method raises StoreDamaged or StoreUnusable, and nothing else of RocksDB.

        Raises WrongSetup for a store that is open elsewhere.
        """
        self.folder = path
        self._telling = _Telling(path)
        self._make_folder()
        self._db = self._open()

    def get(self, key: bytes) -> bytes | None:
        with self._telling:
            found: bytes | None = self._db.get(key)
        return found

    def write(self, changes: Changes, checkpoint: Checkpoint) -> None:
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(_CHECKPOINT, f"{checkpoint.next_offset} {checkpoint.written_at_ms}".encode())
        with self._telling:
            self._db.write(batch)

    def fill(self, rows: Iterable[tuple[bytes, bytes]], checkpoint: Checkpoint) -> None:
        # The database takes sorted files over: nothing is written twice, as through its log, nor merged afterwards.
        folder = self.folder / _FILLING
        moved = IngestExternalFileOptions()
        moved.set_move_files(True)
        try:
            with self._telling:
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                files = [str(path) for path in write_sorted_files(folder, rows, _options())]
                if files:
                    self._db.ingest_external_file(files, moved)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        self.write({}, checkpoint)

    def checkpoint(self) -> Checkpoint:
        found = self.get(_CHECKPOINT)
        if found is None:
            return Checkpoint(0, 0)
        try:
            next_offset, written_at_ms = found.decode().split()
            return Checkpoint(int(next_offset), int(written_at_ms))
        except ValueError as error:
            raise StoreDamaged(f"the store {self.folder} has a checkpoint that cannot be read") from error

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        # A scan reads everything once: it must not push out what decisions read again and again.
        reading = ReadOptions()
        reading.fill_cache(False)  # type: ignore[call-arg]
        behind = prefix or b"\x01"
        rows: Iterator[tuple[bytes, bytes]] | None = None
        try:
            with self._telling:
                rows = cast("Iterator[tuple[bytes, bytes]]", iter(self._db.items(from_key=behind, read_opt=reading)))
                for key, value in rows:
                    if not key.startswith(prefix):
                        return
                    behind = key
                    yield key, value
                self._check_end(behind + b"\x00", reading)
        finally:
            # What holds rows keeps the folder locked, and this frame may live as long as an error that passed through.
            rows = None

    def _check_end(self, behind: bytes, reading: ReadOptions) -> None:
        """Raises StoreDamaged when there are rows behind the last one: at a damaged block they end without an error."""
        rest = self._db.iter(reading)
        try:
            rest.seek(behind)
            goes_on = rest.valid()
            rest.status()
        finally:
            del rest
        if goes_on:
            raise StoreDamaged(f"the store {self.folder} cannot be read to its end")

    def wipe(self) -> None:
        self.close()
        with self._telling:
            shutil.rmtree(self.folder)
        self._make_folder()
        self._db = self._open()

    def close(self) -> None:
        # What it says then is of no use: all that counts is written, or is in `documents`.
        with suppress(Exception):
            self._db.close()

    def _make_folder(self) -> None:
        with self._telling:
            self.folder.mkdir(parents=True, exist_ok=True)

    def _open(self) -> Rdict:
        with self._telling:
            return Rdict(str(self.folder), _options(), access_type=AccessType.read_write())


class _Telling:
    """Whatever RocksDB or the disk raises inside becomes an error of Refrain's own; those pass as they are.

    A class, and not a generator: each `get` of a decision is inside one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        # rocksdict raises Exception itself.
        if isinstance(error, Exception) and not isinstance(error, RefrainError):
            raise _failure(self._path, error) from error


def _failure(path: Path, error: Exception) -> StoreDamaged | StoreUnusable | WrongSetup:
    """What a failure means. RocksDB's own words may hold keys, or bytes of a block: they are logged nowhere."""
    if isinstance(error, OSError):
        return StoreUnusable(f"the store {path} cannot be used: {error.strerror}")
    text = str(error)
    for said in _DISK:
        if said in text:
            return StoreUnusable(f"the store {path} cannot be used: {said}")
    if any(said in text for said in _FOREIGN):
        return WrongSetup(f"{path} is open in another worker: give each its own state_dir")
    return StoreDamaged(f"the store {path} cannot be read: {text.partition(':')[0][:60]}")


def open_or_replace(path: Path) -> tuple[RocksStore, str | None]:
    """Open a store, and why it was replaced by an empty one: it was damaged. None when it was not."""
    store: RocksStore | None = None
    try:
        store = RocksStore(path)
        store.checkpoint()
    except StoreDamaged as damage:
        # One that has opened holds the lock of its folder until it is closed.
        if store is not None:
            store.close()
        shutil.rmtree(path, ignore_errors=True)
        return RocksStore(path), str(damage)
    return store, None
