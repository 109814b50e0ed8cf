"""Sorted files of RocksDB (SST), written beside a database, which takes them over as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from rocksdict import Options, SstFileWriter

FILE_BYTES = 64 << 20
"""Rows of a file, before they are compressed; one row may have more."""


def write_sorted_files(folder: Path, rows: Iterable[tuple[bytes, bytes]], options: Options) -> Iterator[Path]:
    """Write rows that come in the order of their keys, each key once; gives the path of each file that is done.

    What the writer raises is RocksDB's: a bare Exception.
    """
    left = iter(rows)
    for number, first in enumerate(left):
        path = folder / f"{number}.sst"
        writer = SstFileWriter(options)
        writer.open(str(path))
        size = 0
        for key, value in chain((first,), left):
            writer[key] = value
            size += len(key) + len(value)
            if size >= FILE_BYTES:
                break
        writer.finish()
        yield path
