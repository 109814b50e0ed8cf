"""Reads JSON lines: each bad line is named with its number, and the rest goes on."""

from __future__ import annotations

import gzip
import json
import operator
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from refrain.streams.errors import BadInput, FileUnreadable, WrongValue

BAD_SHOWN = 10
GZIP = b"\x1f\x8b"
MARK = b"\xef\xbb\xbf"
"""What some editors put before the first line."""
LINE_BYTES = 64_000_000
"""Bytes of a line; a device has no end of one."""
LABELS = {"1": True, "0": False, "1.0": True, "0.0": False, "true": True, "false": False}
_CONDITION = re.compile(r"\s*([^<>=!]+?)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*")
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip

Row = Mapping[str, Any]


class Unreadable(ValueError):
    """One line cannot be taken; the text says why."""


class BadLine(NamedTuple):
    """A line that was left out, counted from 1, and why."""

    line: int
    why: str


class PairFields(NamedTuple):
    """Field names of a line of pairs; with `positive` the label is 1 when it is one of these texts."""

    text_a: str = "text_a"
    text_b: str = "text_b"
    label: str = "label"
    positive: tuple[str, ...] = ()


FIELDS = PairFields()


class Pair(NamedTuple):
    """Two questions, whether they ask the same, and the whole line they stand in."""

    line: int
    text_a: str
    text_b: str
    label: bool
    row: Row


class Condition(NamedTuple):
    """Condition that a line must meet to count: `relatedness>=4.5`, `entailment=NEUTRAL`."""

    field: str
    order: str
    value: str

    def holds(self, row: Row) -> bool:
        """Raises Unreadable for a line without the field, or with no number where one is compared."""
        found = value_of(row, self.field)
        if self.order in ("=", "!="):
            return (text_of_value(found) == self.value) is (self.order == "=")
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise Unreadable(f"{self.field}: not a number")
        return _ORDERS[self.order](found, float(self.value))


def condition(text: str) -> Condition:
    """Parse a condition of the command line. Raises BadInput."""
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise WrongValue(f"{text!r} is no condition: write FIELD=VALUE, or one of != >= <= > < between them")
    made = Condition(found[1], found[2], found[3])
    if made.order in _ORDERS:
        try:
            float(made.value)
        except ValueError as error:
            raise WrongValue(f"{text!r} compares with what is no number: {made.value!r}") from error
    return made


def lines_of(path: Path) -> Iterator[bytes]:
    """Read the lines of a file, unpacked where it is gzipped. Raises BadInput for a file that cannot be opened.

    Raises Unreadable where a packed file breaks off, or a line has no end: the lines before are whole.
    """
    try:
        with path.open("rb") as file:
            # Opened once and looked into: of a pipe (`<(zcat ...)`), what was read is gone.
            packed = file.peek(len(GZIP)).startswith(GZIP)
            with gzip.GzipFile(fileobj=file) if packed else file as lines:
                while line := lines.readline(LINE_BYTES + 1):
                    if len(line) > LINE_BYTES:
                        raise Unreadable(
                            f"the line has no end within {LINE_BYTES // 1_000_000} MB: it is read no further"
                        )
                    yield line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"the packed file breaks off here ({error})") from error
    except OSError as error:
        raise FileUnreadable(f"{path} cannot be read: {error.strerror or error}") from error


def whole_lines_of(path: Path) -> Iterator[bytes]:
    """Read the lines of a file that is of no use in part. Raises BadInput also where a packed file breaks off."""
    try:
        yield from lines_of(path)
    except Unreadable as error:
        raise BadInput(f"{path} cannot be read: {error}") from error


def rows(lines: Iterable[bytes], bad: list[BadLine]) -> Iterator[tuple[int, Row]]:
    """The numbered JSON objects of the lines, blank ones left out; what is none goes to `bad`."""
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            data = line.removeprefix(MARK) if number == 1 else line
            if not data.strip():
                continue
            try:
                yield number, json_object(data)
            except Unreadable as error:
                bad.append(BadLine(number, str(error)))
    except Unreadable as error:
        bad.append(BadLine(number + 1, str(error)))


def pairs(
    lines: Iterable[bytes], fields: PairFields = FIELDS, where: Sequence[Condition] = ()
) -> tuple[list[Pair], list[BadLine]]:
    """The pairs of all good lines for which every condition holds, in order, and the bad lines."""
    good: list[Pair] = []
    bad: list[BadLine] = []
    for number, row in rows(lines, bad):
        try:
            pair = _pair(number, row, fields)
            if all(each.holds(row) for each in where):
                good.append(pair)
        except Unreadable as error:
            bad.append(BadLine(number, str(error)))
    return good, bad


def check_any(good: Sequence[object], bad: Sequence[BadLine], source: str, noun: str) -> None:
    """Raises BadInput for a file of which nothing is left, with the reasons."""
    if good:
        return
    reasons = "".join(f"\n  {source}:{each.line}: {each.why}" for each in bad[:BAD_SHOWN])
    raise BadInput(f"{source} holds no {noun} that can be used{reasons or ': it has no lines that count'}")


def bad_lines_summary(bad: Sequence[BadLine]) -> dict[str, Any]:
    """Summary of the bad lines for JSON: how many, and the first."""
    return {"count": len(bad), "first": [each._asdict() for each in bad[:BAD_SHOWN]]}


def value_of(row: Row, field: str) -> Any:
    """The value of a field. Raises Unreadable for one that is missing or null."""
    found = row.get(field)
    if found is None:
        raise Unreadable(f"{field}: missing")
    return found


def text_of_value(value: Any) -> str:
    """A value as people write it: texts as they are, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value)


def question_in(row: Row, field: str) -> str:
    """The text of a question. Raises Unreadable for what is none, is blank, or is not Unicode text."""
    text = value_of(row, field)
    if not isinstance(text, str):
        raise Unreadable(f"{field}: not a text")
    return checked_text(text, field)


def checked_text(text: str, field: str) -> str:
    """Validate a text; returns it. Raises Unreadable for a blank one, or one that is not Unicode."""
    if not text.strip():
        raise Unreadable(f"{field}: empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unreadable(f"{field}: holds half of a surrogate pair, which is no character") from error
    return text


def _pair(number: int, row: Row, fields: PairFields) -> Pair:
    text_a, text_b = question_in(row, fields.text_a), question_in(row, fields.text_b)
    return Pair(number, text_a, text_b, _label(row, fields), row)


def _label(row: Row, fields: PairFields) -> bool:
    label = text_of_value(value_of(row, fields.label))
    if fields.positive:
        return label in fields.positive
    if label.lower() not in LABELS:
        raise Unreadable(f"{fields.label}: neither 1 nor 0 (name the texts that mean 1 with --positive)")
    return LABELS[label.lower()]


def text_of(data: bytes) -> str:
    """A line as text. Raises Unreadable."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("not UTF-8") from error


def json_object(data: bytes) -> Row:
    """A line as a JSON object. Raises Unreadable."""
    text = text_of(data)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Unreadable("not a JSON object")
    return found
