"""Markdown as the repository's papers use it: code blocks, code spans, links and tables, each with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_FENCE = re.compile(r"^\s*```(.*)$")
_SPAN = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#+) +(.*)$")


class Block(NamedTuple):
    """A fenced block; `line` is that of its first line of text, `info` what stands behind the fence."""

    line: int
    info: tuple[str, ...]
    text: str


class Piece(NamedTuple):
    """A code span or the target of a link."""

    line: int
    text: str


class Row(NamedTuple):
    """One row of a table, below its nearest heading."""

    line: int
    heading: str
    cells: tuple[str, ...]


class Paper(NamedTuple):
    """A document of the repository."""

    path: Path
    blocks: tuple[Block, ...]
    spans: tuple[Piece, ...]
    links: tuple[Piece, ...]
    rows: tuple[Row, ...]
    headings: tuple[str, ...]


def read_paper(path: Path) -> Paper:
    """The document at `path`. Raises ValueError for a fence that is never closed."""
    blocks: list[Block] = []
    prose: list[tuple[int, str]] = []
    opened: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is None and fence is None:
            prose.append((number, line))
        elif opened is None and fence is not None:
            opened = (number + 1, fence[1], [])
        elif opened is not None and fence is None:
            opened[2].append(line)
        elif opened is not None:
            blocks.append(Block(opened[0], tuple(opened[1].split()), "\n".join(opened[2]) + "\n"))
            opened = None
    if opened is not None:
        raise ValueError(f"{path}:{opened[0] - 1}: the fence is never closed")
    headings = tuple(found[2] for _, line in prose if (found := _HEADING.match(line)))
    return Paper(path, tuple(blocks), _all(_SPAN, prose), _all(_LINK, prose), tuple(_rows(prose)), headings)


def code(cell: str) -> tuple[str, ...]:
    """The code spans of a cell or a line."""
    return tuple(_SPAN.findall(cell))


def _all(pattern: re.Pattern[str], prose: list[tuple[int, str]]) -> tuple[Piece, ...]:
    return tuple(Piece(number, text) for number, line in prose for text in pattern.findall(line))


def _rows(prose: list[tuple[int, str]]) -> Iterator[Row]:
    heading, previous, in_table = "", "", False
    for number, line in prose:
        found = _HEADING.match(line)
        heading = found[2] if found else heading
        if not line.startswith("|"):
            in_table = False
        elif in_table:
            yield Row(number, heading, _cells(line))
        elif previous.startswith("|"):
            # This is the rule below the head: rows follow.
            in_table = True
        previous = line


def _cells(line: str) -> tuple[str, ...]:
    # A bar inside a code span is written `\|`, as tables need it.
    parts = re.split(r"(?<!\\)\|", line.strip().strip("|"))
    return tuple(part.strip().replace("\\|", "|") for part in parts)
