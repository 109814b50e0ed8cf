"""Coverage report in a few lines: the total, and the files that are covered least.

Workers that tests start as processes of their own are not counted: what only they run counts as not run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

LITTLE_PCT = 80.0


class Covered(NamedTuple):
    """The lines of a file (or of all) that ran, of those that could."""

    name: str
    ran: int
    of: int

    @property
    def percent(self) -> float:
        """What has no lines ran whole."""
        return 100.0 * self.ran / self.of if self.of else 100.0

    def row(self) -> str:
        return f"{self.percent:6.1f} % {self.of - self.ran:6} {self.of:6}  {self.name}"


def lines(report: Mapping[str, Any]) -> list[str]:
    """The lines to print of coverage's JSON report: a table, what ran least first, and the total below."""
    files = [_covered(name, of["summary"]) for name, of in report["files"].items()]
    little = sorted((each for each in files if each.percent < LITTLE_PCT), key=lambda each: (each.percent, each.name))
    total = _covered(f"all {len(files)} files; under {LITTLE_PCT:.0f} %: {len(little)}", report["totals"])
    return [f"{'ran':>8} {'not':>6} {'lines':>6}", *(each.row() for each in (*little, total))]


def _covered(name: str, summary: Mapping[str, int]) -> Covered:
    return Covered(name, summary["covered_lines"], summary["num_statements"])


if __name__ == "__main__":
    # The report of `coverage json -o -` on standard input.
    print("\n".join(lines(json.load(sys.stdin))))
