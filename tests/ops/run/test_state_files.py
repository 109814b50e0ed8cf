"""The state folder, looked at before anything starts in it."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import pytest

from refrain.ops.cli import main
from refrain.ops.run.state_files import require_writable
from refrain.ops.terminal import exit_codes
from refrain.streams.errors import StoreUnusable, WrongSetup


def test_a_folder_that_is_not_there_is_made_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


@pytest.mark.parametrize("processors", [["lookup"], ["all"]])
def test_a_folder_that_is_none_is_told_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], processors: list[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("REFRAIN_STATE_DIR", str(tmp_path / "file" / "state"))
    assert main(["run", *processors]) == exit_codes.WRONG_SETUP
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "file/state cannot be written: Not a directory: set state_dir (REFRAIN_STATE_DIR)" in shown


@pytest.mark.parametrize(
    ("code", "kind", "do"),
    [
        (errno.EACCES, WrongSetup, "set state_dir"),
        (errno.EROFS, WrongSetup, "set state_dir"),
        (errno.ENOSPC, StoreUnusable, "make room there"),
        (errno.EDQUOT, StoreUnusable, "make room there"),
    ],
)
def test_a_disk_that_takes_nothing_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception], do: str
) -> None:
    """A full disk is no wrong setting: who is started again finds room some day."""

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refuse)
    with pytest.raises(kind, match=do):
        require_writable(tmp_path)
