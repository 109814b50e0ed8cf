"""Coverage report in a few lines: the total, and the files that are covered least.

Workers that tests start as processes of their own are not counted: what only they run counts as not run.
"""

from __future__ import annotations

import json
import sys
from typing import Any

LITTLE_PCT = 80.0


def lines(report: dict[str, Any]) -> list[str]:
    """Summarise coverage's JSON report in lines."""
    shares = {name: of["summary"]["percent_covered"] for name, of in report["files"].items()}
    little = sorted((share, name) for name, share in shares.items() if share < LITTLE_PCT)
    total = report["totals"]["percent_covered"]
    head = f"{total:.1f} % of lines and branches in {len(shares)} files; under {LITTLE_PCT:.0f} %: {len(little)}"
    return [head, *(f"  {share:5.1f} %  {name}" for share, name in little)]


if __name__ == "__main__":
    # The report of `coverage json -o -` on standard input.
    print("\n".join(lines(json.load(sys.stdin))))
