"""The table that ends a run: what ran least comes first, and the total last."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from infra.local.coverage_report import lines

ROOT = Path(__file__).parents[3]


def report(**files: tuple[int, int]) -> dict[str, Any]:
    """A report of coverage in which so many lines of so many ran, by file."""
    ran, of = (sum(each) for each in zip(*files.values(), strict=True))
    return {
        "files": {f"{name}.py": {"summary": summary(*counts)} for name, counts in files.items()},
        "totals": summary(ran, of),
    }


def summary(ran: int, of: int) -> dict[str, int]:
    return {"covered_lines": ran, "num_statements": of}


def test_files_of_which_little_ran_are_named_and_what_ran_least_comes_first() -> None:
    assert lines(report(whole=(100, 100), half=(5, 10), enough=(80, 100), never=(0, 40))) == [
        "     ran    not  lines",
        "   0.0 %     40     40  never.py",
        "  50.0 %      5     10  half.py",
        "  74.0 %     65    250  all 4 files; under 80 %: 2",
    ]


def test_when_all_ran_the_total_alone_is_told() -> None:
    _, total = lines(report(one=(9, 10), empty=(0, 0)))
    assert total == "  90.0 %      1     10  all 2 files; under 80 %: 0"


def test_what_coverage_tells_of_a_program_is_read(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text("def never():\n    return 1\n    \n\nprint('ran')\n")
    coverage = [sys.executable, "-m", "coverage"]
    subprocess.run([*coverage, "run", "--data-file=c", "made.py"], cwd=tmp_path, check=True, capture_output=True)
    told = subprocess.run(
        [*coverage, "json", "-q", "--data-file=c", "-o", "-"], cwd=tmp_path, check=True, capture_output=True
    )
    assert json.loads(told.stdout)["totals"]["num_statements"] == 3
    found = subprocess.run(
        [sys.executable, "-m", "infra.local.coverage_report"],
        cwd=ROOT,
        input=told.stdout,
        check=True,
        capture_output=True,
    )
    assert found.stdout.decode().splitlines()[1:] == [
        "  66.7 %      1      3  made.py",
        "  66.7 %      1      3  all 1 files; under 80 %: 1",
    ]
