"""What is wrong with the name of a file to write is told before the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.terminal import exit_codes
from refrain.ops.terminal.out_files import check_free, check_writable, is_folder_or_may_be
from refrain.streams.errors import FileUnwritable


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").write_text("x")
    Path("folder").mkdir()
    Path("leads-nowhere").symlink_to("gone")


@pytest.mark.parametrize(
    ("name", "said"),
    [("", "is a folder"), (".", "is a folder"), ("folder", "is a folder"), ("no/file", "no is no folder"),
     ("there/file", "there is no folder")],
)  # fmt: skip
def test_what_cannot_be_written_is_named(name: str, said: str) -> None:
    for check in (check_writable, lambda path: check_free(path, "it stays")):
        with pytest.raises(FileUnwritable, match=said) as refused:
            check(Path(name))
        assert exit_codes.code_of(refused.value) == exit_codes.USAGE


def test_what_is_there_may_be_written_over_unless_it_must_not_be() -> None:
    for name in ("there", "leads-nowhere"):
        check_writable(Path(name))
        with pytest.raises(FileUnwritable, match=f"{name} exists: it stays"):
            check_free(Path(name), "it stays")
    check_free(Path("new"), "it stays")
    check_writable(None)


@pytest.mark.parametrize(
    ("name", "may_be"),
    [("folder", True), ("new", True), ("new/er/still", True), ("folder/new", True), (".", True),
     ("there", False), ("there/under", False), ("there/far/under", False), ("leads-nowhere", False),
     ("leads-nowhere/under", False)],
)  # fmt: skip
def test_a_folder_can_be_made_where_no_file_stands_in_the_way(name: str, may_be: bool) -> None:
    assert is_folder_or_may_be(Path(name)) is may_be
