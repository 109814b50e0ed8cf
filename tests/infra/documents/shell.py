"""What a block of shell runs: each command of its pipelines, as words, with its line and the variables set for it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

_BETWEEN = frozenset({"|", "||", "&&", ";", "&"})
_INTO = frozenset({">", ">>", "<", "2>"})
_SETS = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=.*", re.DOTALL)


class Command(NamedTuple):
    """One command; `line` counts from 1 in its block."""

    line: int
    variables: tuple[str, ...]
    words: tuple[str, ...]


def commands(text: str) -> Iterator[Command]:
    """The commands of a block, line by line. Raises ValueError for quotes that are never closed."""
    for line, joined in _joined(text):
        words: list[str] = []
        redirected = False
        for word in _split(joined):
            if redirected:
                redirected = False
            elif word in _INTO:
                redirected = True
            elif word in _BETWEEN:
                yield from _command(line, words)
                words = []
            else:
                words.append(word)
        yield from _command(line, words)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash continues."""
    held, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start if held else number
        if line.rstrip().endswith("\\"):
            held += line.rstrip()[:-1] + " "
            continue
        yield start, held + line
        held = ""


def _split(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    return list(lexer)


def _command(line: int, words: list[str]) -> Iterator[Command]:
    variables = []
    while words and (found := _SETS.fullmatch(words[0])):
        variables.append(found[1])
        words = words[1:]
    if words or variables:
        yield Command(line, tuple(variables), tuple(words))
