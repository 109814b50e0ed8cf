"""Outputs that are closed, full, or of another encoding: a sentence and an exit code, and JSON that can be read."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from refrain.ops.terminal import exit_codes
from refrain.ops.terminal.output import json_line, say
from refrain.ops.terminal.streams import prepare_streams

PROGRAM = f"{sys.executable} -c 'import sys; from refrain.ops.cli import main; sys.exit(main())'"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("schemas list >&-", exit_codes.OK),
        ("schemas list <&- >&-", exit_codes.OK),
        ("schemas list <&- >&- 2>&-", exit_codes.OK),
        ("schemas show nothing 2>&-", exit_codes.USAGE),
        ("schemas show request | true", exit_codes.OK),
        ("schemas show request >/dev/full", exit_codes.USAGE),
        ("schemas list --json >/dev/full", exit_codes.USAGE),
        ("policies init - >/dev/full", exit_codes.USAGE),
        ("--help >/dev/full", exit_codes.USAGE),
        ("--version >/dev/full", exit_codes.USAGE),
        ("policies --help >/dev/full", exit_codes.USAGE),
        ("policies init --help >/dev/full", exit_codes.USAGE),
        (">/dev/full", exit_codes.USAGE),
        ("schemas show nothing >&- 2>/dev/full", exit_codes.USAGE),
        ("--nope 2>/dev/full", exit_codes.USAGE),
        ("--help >/dev/full 2>/dev/full", exit_codes.USAGE),
        ("--help | true", exit_codes.OK),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_streams_that_are_closed_or_full(line: str, code: int, unbuffered: str, tmp_path: Path) -> None:
    if "/dev/full" in line and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    before, mark, after = line.partition(" |")
    shell = f"set -o pipefail; {PROGRAM} {before}{mark}{after}"
    run = subprocess.run(
        ["bash", "-c", shell],
        cwd=tmp_path,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == code
    for said in ("Traceback", "unexpected", "Exception ignored"):
        assert said not in run.stderr
    is_told = "/dev/full" in line and "2>/dev/full" not in line
    assert ("cannot be written: " in run.stderr) == is_told


def test_what_a_terminal_has_no_letter_for_is_escaped_and_json_stays_json(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))
    prepare_streams()
    say("hit · 2 s old")
    say("half \ud800")
    assert shown.getvalue() == rb"hit \xb7 2 s old" + b"\n" + rb"half \ud800" + b"\n"
    value = {"question": "Wie heißt 東京? \N{ROCKET}", "half": "\ud800"}
    assert json.loads(json_line(value).encode("ascii")) == value
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="utf-8"))
    assert "東京" in json_line({"question": "東京"})
    assert json.loads(json_line(value).encode()) == value
