"""The table of what came of attacks, for people and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tests.attack.attack import Row

COLUMNS = (
    "attack",
    "to",
    "right",
    "sent",
    "set aside",
    "good answered",
    "p99 ms",
    "times quiet",
    "restarts",
    "MB",
    "s",
)


def table(rows: Sequence[Row]) -> Table:
    """The rows, one an attack."""
    made = Table(*COLUMNS, "held")
    for row in rows:
        made.add_row(*map(str, cells(row)), _verdict(row))
    return made


def cells(row: Row) -> tuple[object, ...]:
    """What the columns show of a row; `-` where it is not known."""
    calm = row.calm
    good = f"{calm.answered - calm.wrong}/{calm.asked}"
    unknown = ("-" if row.restarts is None else row.restarts, "-" if row.memory_mb is None else row.memory_mb)
    figures = (row.sent, row.aside, good, round(calm.p99_ms), row.p99_ratio, *unknown, row.seconds)
    return (row.attack, row.topics, row.right, *figures)


def told(row: Row) -> dict[str, Any]:
    """A row as JSON."""
    return {**row._asdict(), "calm": row.calm._asdict(), "held": row.held}


def _verdict(row: Row) -> str:
    if row.problems:
        return "[red]" + "; ".join(row.problems).replace("[", "\\[")
    return "held" if row.skipped is None else f"held; {row.skipped}"
