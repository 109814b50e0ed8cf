"""Whole files: what is too large, or has no end, is refused before the memory is full."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.data.whole import whole_file, whole_text
from refrain.streams.errors import FileUnreadable


def test_a_file_is_read_whole_up_to_its_size(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert whole_file(path, 10) == b"x" * 10
    with pytest.raises(FileUnreadable, match="has more than 0 MB"):
        whole_file(path, 9)
    path.write_bytes(b"\xff")
    with pytest.raises(FileUnreadable, match="not UTF-8"):
        whole_text(path, 9)


@pytest.mark.parametrize(
    ("name", "said"), [("/dev/zero", "more than 1 MB"), (".", "directory"), ("gone", "No such file")]
)
def test_what_is_no_such_file_is_told(name: str, said: str) -> None:
    with pytest.raises(FileUnreadable, match=said):
        whole_file(name, 1_000_000)
