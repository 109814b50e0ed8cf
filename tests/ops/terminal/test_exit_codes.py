"""The same mistake ends with the same code, whichever command meets it."""

from __future__ import annotations

from pathlib import Path

import pytest

from refrain.ops.cli import main
from refrain.ops.terminal import exit_codes
from refrain.streams.errors import BadInput, FileUnreadable, FileUnwritable

NOWHERE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REFRAIN_KAFKA", NOWHERE)
    monkeypatch.setenv("REFRAIN_CONNECT_TIMEOUT_MS", "100")
    monkeypatch.setenv("REFRAIN_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "command",
    [
        ["audit", "--seal", "nowhere/seal.json"],
        ["audit", "--make-key", "nowhere/key"],
        ["policies", "init", "nowhere/policy.yaml"],
        ["schemas", "export", "--into", "/proc/nowhere"],
    ],
)
def test_a_file_that_cannot_be_written_is_a_wrong_command_line(command: list[str]) -> None:
    assert main(command) == exit_codes.USAGE


@pytest.mark.parametrize(
    "command",
    [
        ["ask", "-f", "nowhere"],
        ["whatif", "nowhere.yaml"],
        ["policies", "apply", "nowhere.yaml"],
        ["import", "nowhere"],
        ["audit", "--against", "nowhere"],
        ["evaluate", "nowhere"],
    ],
)
def test_a_file_that_is_not_there_is_a_wrong_command_line(command: list[str]) -> None:
    assert main(command) == exit_codes.USAGE


def test_a_file_whose_lines_are_wrong_is_none() -> None:
    assert exit_codes.code_of(BadInput("x")) == exit_codes.FAILED
    assert {exit_codes.code_of(kind("x")) for kind in (FileUnreadable, FileUnwritable)} == {exit_codes.USAGE}
