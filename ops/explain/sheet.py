"""Sheet: an explanation as headings, rows and tables, the same for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Row(NamedTuple):
    """A named value."""

    name: str
    value: str


@dataclass(frozen=True)
class Section:
    """A section: rows, then a table, then lines as they stand (YAML); what is empty is left out."""

    heading: str
    rows: Sequence[Row] = ()
    columns: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    lines: str = ""
    notes: Sequence[str] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.rows or self.table or self.lines or self.notes)


@dataclass(frozen=True)
class Sheet:
    """What is explained, in a sentence and in sections."""

    title: str
    sentence: str
    remedy: str | None = None
    """What would have made a hit of it."""
    sections: Sequence[Section] = field(default_factory=tuple)
