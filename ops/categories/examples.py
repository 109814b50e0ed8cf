"""Reads labelled examples from JSON lines: each mistake is named, the rest goes on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from refrain.ops.data.lines import BadLine, Row, rows, whole_lines_of
from refrain.schemas.names import NAME_PATTERN
from refrain.schemas.policy import UNCATEGORISED
from refrain.streams.errors import BadInput

TEXT_CHARS_MAX = 100_000


class Example(NamedTuple):
    """Example: a text and its category; None: out of scope."""

    text: str
    category: str | None
    label: str | None
    """The finer label, the category itself where none is given."""


@dataclass(frozen=True)
class ExampleFields:
    """Field names of a line."""

    text: str
    category: str
    label: str | None = None
    split: str | None = None
    outside_when: tuple[str, str] | None = None
    """A field and the value that says: out of scope."""


@dataclass(frozen=True)
class ReadExamples:
    """Examples read from a file: (split, example) in its order, and one line a mistake."""

    rows: tuple[tuple[str | None, Example], ...]
    problems: tuple[str, ...]

    def of(self, splits: Sequence[str]) -> list[Example]:
        """The examples of the splits; of all where none is named."""
        return [example for split, example in self.rows if not splits or split in splits]


def read_examples(path: Path, fields: ExampleFields) -> ReadExamples:
    """Read the examples of a file, .gz or plain. Raises BadInput when it cannot be read or holds none."""
    return _read(path, lambda found: _row(found, fields))


def read_outside(path: Path, text: str) -> ReadExamples:
    """Read the texts of a file as out-of-scope examples. Raises BadInput like `read_examples`."""
    return _read(path, lambda found: (None, Example(_text_of(found, text), None, None)))


def unique(examples: Sequence[Example]) -> list[Example]:
    """Deduplicate examples by text; the first of each text stays."""
    first: dict[str, Example] = {}
    for example in examples:
        first.setdefault(example.text.strip(), example)
    return list(first.values())


def digest(examples: Sequence[Example]) -> str:
    """The SHA-256 of the examples in their order."""
    hashed = hashlib.sha256()
    for example in examples:
        hashed.update(json.dumps(list(example)).encode() + b"\n")
    return hashed.hexdigest()


def _read(path: Path, row: Callable[[Row], tuple[str | None, Example]]) -> ReadExamples:
    taken: list[tuple[str | None, Example]] = []
    bad: list[BadLine] = []
    for number, found in rows(whole_lines_of(path), bad):
        try:
            taken.append(row(found))
        except ValueError as error:
            bad.append(BadLine(number, str(error)))
    problems = [f"{path}, line {number}: {why}" for number, why in bad]
    if not taken:
        raise BadInput(f"{path} holds no example" + (f": {problems[0]}" if problems else ""))
    return ReadExamples(tuple(taken), tuple(problems))


def _row(found: Row, fields: ExampleFields) -> tuple[str | None, Example]:
    split = None if fields.split is None else str(_field(found, fields.split))
    text = _text_of(found, fields.text)
    category = _category_of(found, fields)
    if category is None:
        return split, Example(text, None, None)
    label = category if fields.label is None else str(_field(found, fields.label))
    return split, Example(text, category, label)


def _category_of(found: Row, fields: ExampleFields) -> str | None:
    if fields.outside_when is not None:
        field, value = fields.outside_when
        if str(found.get(field)) == value:
            return None
    category = _field(found, fields.category)
    if category is None or category == UNCATEGORISED:
        return None
    if not isinstance(category, str) or not re.fullmatch(NAME_PATTERN.rstrip("$"), category):
        raise ValueError(f"{fields.category} is no name of a category (up to 64 of A-Z a-z 0-9 . _ -)")
    return category


def _text_of(found: Row, field: str) -> str:
    text = _field(found, field)
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f"{field} is not a text")
    if len(text) > TEXT_CHARS_MAX:
        raise ValueError(f"{field} has {len(text)} characters, {TEXT_CHARS_MAX} are taken")
    return text


def _field(found: Row, field: str) -> Any:
    if field not in found:
        raise ValueError(f"no field {field}")
    return found[field]
