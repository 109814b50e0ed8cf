"""Vectors of record of large tables, in a file of the process: an HNSW holds unit vectors, and gives them back slowly.

To read a record from the file takes 2 us and no memory of the process; hnswlib takes 20 us for one, and the records in
memory would add half as much as the graph. The file has no name and ends with the process: a restore fills it anew.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from pathlib import Path

import numpy as np

from refrain.streams.errors import StoreDamaged
from refrain.streams.vectors import Ints

_INT = np.dtype("<i2")


class RecordFile:
    """Vectors of record (dim, int16) by row number."""

    def __init__(self, dim: int, folder: Path | None = None) -> None:
        """A new file in a folder; None: where temporary files go. Raises OSError when none can be made there."""
        self._size = dim * _INT.itemsize
        self._dim = dim
        self._fd, name = tempfile.mkstemp(prefix="refrain-vectors-", dir=folder)
        os.unlink(name)
        # Its place on the disk is free when nobody holds it any more.
        weakref.finalize(self, os.close, self._fd)

    def put(self, row: int, vector: Ints) -> None:
        """Write the vector of a row. Raises OSError when the disk does not take it."""
        self._write(vector.astype(_INT, copy=False).tobytes(), row)

    def put_run(self, first: int, vectors: Ints) -> None:
        """Write vectors (n, dim) of neighbouring rows, from `first` on. Raises OSError like `put`."""
        self._write(np.ascontiguousarray(vectors, dtype=_INT).tobytes(), first)

    def get(self, rows: list[int]) -> Ints:
        """Read the vectors of rows, (n, dim). Raises StoreDamaged for a row that is not there."""
        size, fd = self._size, self._fd
        try:
            found = b"".join([os.pread(fd, size, row * size) for row in rows])
        except OSError as error:
            raise StoreDamaged(f"the vectors of {len(rows)} rows cannot be read: {error}") from error
        if len(found) != size * len(rows):
            raise StoreDamaged(f"the vectors of some of {len(rows)} rows are not there")
        return np.frombuffer(found, dtype=_INT).reshape(len(rows), self._dim)

    def _write(self, data: bytes, row: int) -> None:
        view, at = memoryview(data), row * self._size
        while view:
            written = os.pwrite(self._fd, view, at)
            view, at = view[written:], at + written
