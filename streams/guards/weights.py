"""Weights of evidence: what a difference costs, by how much the two texts overlap and how strict a category is.

Where two texts share a frame a difference decides, and is a veto; where they are worded otherwise it only weighs, or
does not count. The table is `words/weights.txt`.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from refrain.schemas.policy import Guard, Strictness
from refrain.streams.guards.frame import Overlap
from refrain.streams.guards.lexicon import lines, split_list

MICROS = 1_000_000
"""A similarity of 1 in the unit of weights."""
VETO = MICROS
"""Weight that leaves nothing of any similarity."""
_ANY = "any"


class Row(NamedTuple):
    """Row of the table: a kind of difference, the overlap from which it holds (thousandths), and the weight."""

    guard: Guard
    kind: str
    measure: str
    least: int
    weight: int

    def holds(self, overlap: Overlap, shift: int) -> bool:
        """Whether it holds for a difference of its kind; `shift` moves where an overlap begins to count."""
        have = overlap.letters if self.measure == "letters" else overlap.words
        return have >= (self.least + shift if self.least else 0)


class Scale(NamedTuple):
    """Scale of a strictness: how far gates move (thousandths), and what a weight is multiplied by (hundredths)."""

    shift: int
    factor: int


SCALES = {
    Strictness.LENIENT: Scale(100, 50),
    Strictness.NORMAL: Scale(0, 100),
    Strictness.STRICT: Scale(-100, 200),
}


def _row(line: str) -> Row:
    named, measure, least, weight = split_list(line, "|")
    guard, kind = named.split()
    return Row(Guard(guard), kind, measure, int(least), VETO if weight == "veto" else int(weight))


_ROWS: dict[Guard, list[Row]] = {guard: [] for guard in Guard}
for _each in map(_row, lines("weights")):
    _ROWS[_each.guard].append(_each)


@cache
def _rows(guard: Guard, kind: str) -> tuple[Row, ...]:
    """The rows of a kind of difference."""
    return tuple(row for row in _ROWS[guard] if row.kind in (kind, _ANY))


def weight_of(guard: Guard, kind: str, overlap: Overlap, strictness: Strictness) -> int:
    """Weight of a difference in millionths of similarity; 0 when it does not count, VETO when it decides."""
    scale = SCALES[strictness]
    held = [row.weight for row in _rows(guard, kind) if row.holds(overlap, scale.shift)]
    most = max(held, default=0)
    return most if most == VETO else most * scale.factor // 100
