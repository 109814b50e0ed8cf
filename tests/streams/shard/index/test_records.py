"""Vectors of record come back from their file as they were written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refrain.streams.errors import StoreDamaged
from refrain.streams.shard.index.records import RecordFile
from refrain.streams.vectors import Ints

DIM = 24


def vectors(count: int, seed: int) -> Ints:
    """Vectors of record (count, DIM) with the greatest numbers there are."""
    found: Ints = np.random.default_rng(seed).integers(-32_768, 32_768, (count, DIM)).astype(np.int16)
    found[0, :2] = (-32_768, 32_767)
    return found


def test_rows_come_back_in_the_order_in_which_they_are_asked_for() -> None:
    file, written = RecordFile(DIM), vectors(50, 1)
    for row in reversed(range(40)):
        file.put(row, written[row])
    file.put_run(40, written[40:])
    asked = [49, 0, 17, 17, 40]
    assert np.array_equal(file.get(asked), written[asked])


def test_a_row_that_is_written_again_has_its_last_vector() -> None:
    file, written = RecordFile(DIM), vectors(2, 2)
    file.put(3, written[0])
    file.put(3, written[1])
    assert np.array_equal(file.get([3]), written[1:])


def test_a_row_that_was_never_written_is_damage_of_the_store() -> None:
    file = RecordFile(DIM)
    file.put(0, vectors(1, 3)[0])
    with pytest.raises(StoreDamaged):
        file.get([0, 1])


def test_the_file_goes_into_the_folder_that_is_named_and_leaves_nothing_there(tmp_path: Path) -> None:
    file, written = RecordFile(DIM, tmp_path), vectors(1, 4)
    file.put(0, written[0])
    assert np.array_equal(file.get([0]), written)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_takes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        RecordFile(DIM, tmp_path / "gone")
