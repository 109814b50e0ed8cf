"""The vectors that benches use: of questions, each embedded once, and of their kind where more are wanted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from refrain.ops.bench.vectors import Vectors, question_vectors
from refrain.streams.errors import WrongSetup
from refrain.streams.settings import Embedding

FREE = Embedding(backend="free")


def told(tmp_path: Path, text: str, count: int) -> tuple[Vectors, list[tuple[int, int]]]:
    """The vectors of a file of questions, and the progress told."""
    (tmp_path / "asked.txt").write_text(text)
    heard: list[tuple[int, int]] = []
    found = question_vectors(
        count, FREE, tmp_path / "kept", tmp_path / "asked.txt", 1, lambda done, of: heard.append((done, of))
    )
    return found, heard


def test_questions_are_embedded_once_and_kept_for_the_next_run(tmp_path: Path) -> None:
    first, heard = told(tmp_path, "sort a list\nparse a date\n", 2)
    again, silent = told(tmp_path, "sort a list\nparse a date\n", 2)
    assert (heard, silent) == ([(2, 2)], [])
    assert np.array_equal(first.units, again.units)
    assert np.linalg.norm(first.units, axis=1) == pytest.approx([1.0, 1.0], abs=1e-6)


def test_where_more_are_wanted_others_near_them_are_made_the_same_each_time(tmp_path: Path) -> None:
    first, _ = told(tmp_path, "sort a list\nparse a date\n", 6)
    again, _ = told(tmp_path, "sort a list\nparse a date\n", 6)
    assert first.units.shape[0] == 6
    assert np.array_equal(first.units, again.units)
    assert (np.einsum("nd,nd->n", first.units[2:4], first.units[:2]) > 0.9).all()
    assert first.data.startswith("2 vectors of asked.txt by ")
    assert "4 turned" in first.data


def test_a_file_without_questions_says_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(WrongSetup, match=r"asked\.txt holds no questions: one a line, or JSON with one of text,"):
        told(tmp_path, "\n", 2)
