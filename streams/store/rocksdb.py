"""The RocksDB store: one database a shard, in its folder (rocksdict in raw mode)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from rocksdict import AccessType, BlockBasedOptions, Cache, DBCompressionType, Options, Rdict, ReadOptions, WriteBatch

from refrain.streams.errors import StoreDamaged, WrongSetup
from refrain.streams.store.interface import Changes, Checkpoint

MEMTABLE_BYTES = 4 << 20
CACHE_BYTES = 32 << 20
OPEN_FILES_MAX = 64
_CHECKPOINT = b"\x00reach"
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
        """Open or create it. Raises StoreDamaged for one that cannot be opened, WrongSetup for one open elsewhere."""
        self.folder = path
        path.mkdir(parents=True, exist_ok=True)
        self._db = self._open()

    def get(self, key: bytes) -> bytes | None:
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
        self._db.write(batch)

    def checkpoint(self) -> Checkpoint:
        found = self.get(_CHECKPOINT)
        if found is None:
            return Checkpoint(0, 0)
        try:
            next_offset, written_at_ms = found.decode().split()
            return Checkpoint(int(next_offset), int(written_at_ms))
        except ValueError as error:
            raise StoreDamaged(f"{self.folder} has a checkpoint that cannot be read") from error

    def scan(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        # A scan reads everything once: it must not push out what decisions read again and again.
        reading = ReadOptions()
        reading.fill_cache(False)  # type: ignore[call-arg]
        found = self._db.items(from_key=prefix or b"\x01", read_opt=reading)
        rows = cast("Iterator[tuple[bytes, bytes]]", iter(found))
        while True:
            try:
                key, value = next(rows)
            except StopIteration:
                return
            except Exception as error:  # rocksdict raises Exception itself
                raise StoreDamaged(f"{self.folder} cannot be read: {error}") from error
            if not key.startswith(prefix):
                return
            yield key, value

    def wipe(self) -> None:
        self._db.close()
        shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        self._db = self._open()

    def close(self) -> None:
        self._db.close()

    def _open(self) -> Rdict:
        try:
            return Rdict(str(self.folder), _options(), access_type=AccessType.read_write())
        except Exception as error:  # rocksdict raises Exception itself
            if "lock hold" in str(error) or "While lock file" in str(error):
                raise WrongSetup(f"{self.folder} is open in another worker: give each its own state_dir") from error
            raise StoreDamaged(f"{self.folder} cannot be opened: {error}") from error


def open_or_replace(path: Path) -> tuple[RocksStore, str | None]:
    """Open a store, and why it was replaced by an empty one: it was damaged. None when it was not."""
    try:
        store = RocksStore(path)
        store.checkpoint()
    except StoreDamaged as damage:
        shutil.rmtree(path, ignore_errors=True)
        return RocksStore(path), str(damage)
    return store, None
