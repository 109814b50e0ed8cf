"""Limits of an audit: what is compared. All is folded."""

from __future__ import annotations

from typing import NamedTuple


class Asked(NamedTuple):
    """What is audited: what lies outside is folded, and not compared."""

    from_ms: int = 0
    to_ms: int | None = None
    category: str | None = None

    def holds(self, time_ms: int) -> bool:
        """Whether a journal record of that time is audited."""
        return self.from_ms <= time_ms and (self.to_ms is None or time_ms < self.to_ms)
