"""Labelled pairs of one's own traffic: the lines that `calibrate` and `evaluate pairs` read, one a judgement.

A line is written whole as soon as its pair is judged, so that whoever stops goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from refrain.ops.data.lines import (
    LABELS,
    BadLine,
    Row,
    Unreadable,
    lines_of,
    question_in,
    rows,
    text_of_value,
)
from refrain.ops.hits.texts import HitPair
from refrain.streams.errors import BadInput, FileUnwritable
from refrain.streams.govern.decision_search import SoughtDecision
from refrain.streams.store.private import private_opener

Texts = tuple[str, str]


class LabelledPair(NamedTuple):
    """A judged pair, and its whole line."""

    text_a: str
    text_b: str
    same: bool
    row: Row

    @property
    def texts(self) -> Texts:
        """What the pair is known by."""
        return self.text_a, self.text_b

    @property
    def hit(self) -> SoughtDecision | None:
        """The decision that served the one text's answer for the other; None where it did not, or is not told."""
        decision = self.row.get("decision")
        if not isinstance(decision, str) or self.row.get("was_hit") is not True:
            return None
        return SoughtDecision(decision, _number(self.row, "partition"), _number(self.row, "offset"))


class Labels(NamedTuple):
    """Judged pairs in their order, how many lines have no label yet, and the lines that cannot be read."""

    pairs: list[LabelledPair]
    open: int
    bad: list[BadLine]


def line_of(pair: HitPair, same: bool | None) -> dict[str, Any]:
    """The line of a pair, with its label: 1, 0, or null where nobody judged it."""
    decision = pair.decision
    return {
        "text_a": pair.text_a,
        "text_b": pair.text_b,
        "label": None if same is None else int(same),
        "category": decision.category,
        "similarity": decision.similarity,
        "threshold": decision.threshold,
        "decision": decision.id,
        "partition": decision.partition,
        "offset": decision.offset,
        "reason": decision.reason,
        "was_hit": decision.was_hit,
    }


def read_labels(path: Path) -> Labels:
    """Read labelled pairs. Raises BadInput for a file that cannot be opened."""
    found, bad, still_open = list[LabelledPair](), list[BadLine](), 0
    for number, row in rows(lines_of(path), bad):
        try:
            texts = question_in(row, "text_a"), question_in(row, "text_b")
            if row.get("label") is None:
                still_open += 1
            else:
                found.append(LabelledPair(*texts, _label(row), row))
        except Unreadable as error:
            bad.append(BadLine(number, str(error)))
    return Labels(found, still_open, bad)


def known_labels(path: Path) -> Labels:
    """Labels that were given before: none where there is no such file. Raises BadInput for one with bad lines."""
    if not path.exists():
        return Labels([], 0, [])
    found = read_labels(path)
    if found.bad:
        first = found.bad[0]
        raise BadInput(f"{path}:{first.line}: {first.why}: mend or remove the line, or name another file")
    return found


def new_pairs(given: Iterable[LabelledPair], known: Iterable[LabelledPair]) -> list[LabelledPair]:
    """The given pairs that are not among the known ones, each once."""
    before = {pair.texts for pair in known}
    return list({pair.texts: pair for pair in given if pair.texts not in before}.values())


def text_of(line: Row) -> str:
    """A line as JSON."""
    return json.dumps(line, ensure_ascii=False)


def add(path: Path, lines: Iterable[Row]) -> int:
    """Append lines to a file, each whole and at once; returns how many. Raises FileUnwritable."""
    count = 0
    try:
        with open(path, "a+b", opener=private_opener) as file:
            _end_last_line(file)
            for line in lines:
                file.write((text_of(line) + "\n").encode())
                file.flush()
                count += 1
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
    return count


def _number(row: Row, name: str) -> int | None:
    """The number of that name, of a place; None where it is none."""
    found = row.get(name)
    return found if type(found) is int and found >= 0 else None


def _end_last_line(file: Any) -> None:
    """An editor may have left the last line without its line end."""
    if file.tell() > 0:
        file.seek(-1, 2)
        if file.read(1) != b"\n":
            file.write(b"\n")


def _label(row: Row) -> bool:
    label = text_of_value(row["label"]).lower()
    if label not in LABELS:
        raise Unreadable("label: neither 1 nor 0, nor null for a pair that nobody judged")
    return LABELS[label]
