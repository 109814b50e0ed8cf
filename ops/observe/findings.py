"""Findings of `refrain doctor`: what a check saw, and what to do."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """Finding: one line of the doctor's report."""

    check: str
    state: Literal["ok", "warn", "fail"]
    seen: str
    do: str = ""

    def to_json(self) -> dict[str, str]:
        """For JSON."""
        return asdict(self)
