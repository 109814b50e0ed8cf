"""Output of commands: tables and colour for people on a terminal, plain lines or JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Text = Callable[[float], str]
"""Writes a number for people."""
STYLES = {
    "ok": "green", "hit": "green", "alive": "green", "created": "green",
    "warn": "yellow", "differs": "yellow", "coalesced": "cyan", "bypass": "magenta",
    "fail": "red", "error": "red", "missing": "red", "none": "red",
}  # fmt: skip
"""Words that stand for a state, and how a terminal shows them."""
COLUMN_MIN = 22
"""Characters to which a column of long texts may be folded; shorter ones are not folded at all."""
WORD_MAX = 40
"""Characters of a word, such as an id or a moment, for which a column is wider, so that the word is not broken."""
COLUMN_GAP = 3
CHARS_MAX = 2_000
"""Characters of a text of others that are shown."""


def safe(text: str, chars: int = CHARS_MAX) -> str:
    """A user's text as it may be shown: control characters are replaced, and what is too long is cut."""
    shown = "".join(
        letter if letter.isprintable() or letter == "\n" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
    return shown if len(shown) <= chars else shown[: chars - 1] + "\N{HORIZONTAL ELLIPSIS}"


def one_line(text: str) -> str:
    """The same on one line, so that nothing that others wrote looks like a line of ours."""
    return safe(text).replace("\n", "\N{REPLACEMENT CHARACTER}")


def console(stderr: bool = False) -> Console:
    """A console on what stdout or stderr is now."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """Print one line for people, on stdout."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Print a sentence on stdout; a terminal gets it folded."""
    say_columns(text, 0)


def hint(text: str) -> None:
    """Print a line beside the result, on stderr, so that what a program reads stays clean; terminals get it folded."""
    sys.stderr.write((folded(text, get_terminal_size().columns) if sys.stderr.isatty() else text) + "\n")
    sys.stderr.flush()


def say_columns(text: str, at: int) -> None:
    """Print one line of columns on stdout; a terminal that is narrower gets what is left below, from column `at` on."""
    say(folded(text, get_terminal_size().columns, at) if sys.stdout.isatty() else text)


def folded(text: str, width: int, at: int | None = None) -> str:
    """A text whose lines are broken between words where they would be longer than `width`. Pure.

    What goes on stands `at` a column, else under what begins the line; a word that is longer stays whole, so that it
    can be copied.
    """
    return "\n".join(line if len(line) <= width else _folded_line(line, width, at) for line in text.split("\n"))


def _folded_line(line: str, width: int, at: int | None) -> str:
    begin = len(line) - len(line.lstrip()) if at is None else at
    return fill(
        line, width, subsequent_indent=" " * begin, break_long_words=False, break_on_hyphens=False,
        replace_whitespace=False,
    )  # fmt: skip


def json_line(value: Any) -> str:
    """A value as JSON on one line; letters that the output has none for are escaped as JSON has it."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def emit(value: Any) -> None:
    """Print one JSON value on a line of its own."""
    say(json_line(value))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    title: str | None = None,
    repeated: Sequence[int] = (0,),
) -> None:
    """Print a table on a terminal, in parts where that is narrow: each begins with the `repeated` columns, which tell
    whose line it is.

    Elsewhere it is lines of tab-separated cells under a line of names.
    """
    if not sys.stdout.isatty():
        for line in [list(columns), *_texts(rows)]:
            say("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in line))
        return
    shown = console()
    for part in rich_tables(columns, rows, shown.width, title, repeated):
        shown.print(part, soft_wrap=False)


def rich_tables(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    width: int,
    title: str | None = None,
    repeated: Sequence[int] = (0,),
) -> list[Table]:
    """Rich tables for a terminal of that width: one, or several below each other that begin with the same columns."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = _texts(rows)
    texts = [[name, *(line[at] for line in cells)] for at, name in enumerate(columns)]
    natural = [max(map(len, each)) for each in texts]
    least = [_least(wide, each) for wide, each in zip(natural, texts, strict=True)]
    made: list[Table] = []
    for group in column_groups(least, width, repeated):
        part = Table(title=title if not made else None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for at in group:
            part.add_column(
                columns[at], overflow="fold", no_wrap=natural[at] <= COLUMN_MIN, min_width=min(least[at], width)
            )
        for line in cells:
            part.add_row(*(Text(line[at], style=STYLES.get(line[at], "")) for at in group))
        made.append(part)
    return made


def _least(natural: int, texts: Sequence[str]) -> int:
    """The width to which a column may be folded: short texts stay whole, and so do words of others."""
    word = max((len(each) for text in texts for each in text.split()), default=0)
    return min(natural, max(COLUMN_MIN, min(word, WORD_MAX)))


def column_groups(least: Sequence[int], width: int, repeated: Sequence[int] = (0,)) -> list[list[int]]:
    """Which columns stand side by side where `width` characters are to be had, each at its `least`. Pure.

    The `repeated` are in each group, and one more at least.
    """
    needed = [each + COLUMN_GAP for each in least]
    groups: list[list[int]] = [[]]
    left = width
    for at, wide in enumerate(needed):
        if wide > left and len(groups[-1]) > len(repeated) and at not in repeated:
            groups.append([*repeated])
            left = width - sum(needed[each] for each in repeated)
        groups[-1].append(at)
        left -= wide
    return groups


def _texts(rows: Iterable[Sequence[object]]) -> list[list[str]]:
    return [["" if cell is None else str(cell) for cell in row] for row in rows]


def number(value: float | None, places: int = 2) -> str:
    """A number with a fixed count of places; a dash when there is none."""
    return "-" if value is None else f"{value:.{places}f}"


def similarity(value: float | None) -> str:
    """A similarity with the digits that it came with, two at least and four at most; a dash when there is none."""
    return number(value, 2 if value is None or value == round(value, 2) else 4)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count and its noun; the plural is made with an s where none is given."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or noun + 's'}"


def span(ms: float | None) -> str:
    """A duration in milliseconds as people say it: 850 ms, 12.4 s, 3 min, 5 h, 2 d."""
    if ms is None:
        return "-"
    for unit_ms, unit, places in ((86_400_000, "d", 1), (3_600_000, "h", 1), (60_000, "min", 1), (1_000, "s", 1)):
        if ms >= unit_ms:
            return f"{ms / unit_ms:.{places}f}".removesuffix(".0") + f" {unit}"
    return f"{ms:.0f} ms"


def size(count: float) -> str:
    """Bytes as people say them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:.0f} {unit}"
        count /= 1_000
    return f"{count:.1f} TB"
