"""Logs of the local service are appended to, rotated, and private."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from infra.local.log_file import KEPT, log_file, rotate


def test_a_second_start_appends(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "service.log"
    for text in (b"first\n", b"second\n"):
        with log_file(path) as output:
            output.write(text)
    assert path.read_bytes() == b"first\nsecond\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_child_process_writes_and_a_full_log_is_put_aside_between_lines(tmp_path: Path) -> None:
    path = tmp_path / "service.log"
    program = "for n in range(30): print(f'line {n}', flush=True)"
    with log_file(path, bytes_max=50) as output:
        subprocess.run([sys.executable, "-S", "-c", program], stdout=output, stderr=subprocess.STDOUT, check=True)
    aside = path.with_name("service.log.1")
    assert aside.exists()
    parts = [
        part for part in (*(path.with_name(f"service.log.{n}") for n in range(KEPT, 0, -1)), path) if part.exists()
    ]
    lines = [line for part in parts for line in part.read_text().splitlines()]
    assert lines == [f"line {n}" for n in range(30)][-len(lines) :]
    assert all(part.read_text().endswith("\n") for part in parts if part.stat().st_size)


def test_the_oldest_goes(tmp_path: Path) -> None:
    path = tmp_path / "a.log"
    for number in range(KEPT + 3):
        path.write_text(str(number))
        rotate(path)
    assert not path.exists()
    assert [path.with_name(f"a.log.{n}").read_text() for n in range(1, KEPT + 1)] == ["7", "6", "5", "4", "3"]
    assert len(list(tmp_path.iterdir())) == KEPT
