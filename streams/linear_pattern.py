"""Regular expressions of policies: matched in time that grows with the text alone, whatever the expression.

They run on RE2, which has no look-around and no back-references. What Python's `re` and RE2 read differently is made
alike: `\\w`, `\\d` and `\\s` mean letters, digits and blanks of all scripts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

import re2

from refrain.schemas.policy import Policy

PATTERN_CHARS_MAX = 4_000
"""A longer expression is refused: what it compiles to takes room in every worker."""

_OUTSIDE: Mapping[str, str] = {
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "w": r"[\p{L}\p{N}_]",
    "W": r"[^\p{L}\p{N}_]",
    "s": r"[\s\v\p{Z}\x{85}]",
    "S": r"[^\s\v\p{Z}\x{85}]",
    "Z": r"\z",
}
_END = r"(?:\n?\z)"
"""For `re` the end of a text is also before its last line feed."""
_INSIDE: Mapping[str, str] = {
    "d": r"\p{Nd}",
    "D": r"\P{Nd}",
    "w": r"\p{L}\p{N}_",
    "s": r"\s\v\p{Z}\x{85}",
    "b": r"\x08",
}
"""Inside brackets. `\\W` and `\\S` are left out: what is in neither of two sets cannot be said there."""
_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{,|\$", re.DOTALL)
"""What is read differently: an escape, a set in brackets, a count without a lower bound, an end."""
_MULTILINE = re.compile(r"\(\?[A-Za-z]*m")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class NotLinear(ValueError):
    """An expression that RE2 does not take. The text names what it lacks, and never quotes a question."""


class LinearPattern:
    """A compiled regular expression whose search takes time linear in the text."""

    def __init__(self, pattern: str) -> None:
        """Compile. Raises NotLinear when the expression needs what RE2 lacks, or is too long."""
        if len(pattern) > PATTERN_CHARS_MAX:
            raise NotLinear(f"takes {len(pattern)} characters; at most {PATTERN_CHARS_MAX} are taken")
        options = re2.Options()
        options.log_errors = False
        try:
            self._compiled = re2.compile(_in_re2(pattern), options)
        except re2.error as error:
            raise NotLinear(_why(error)) from error
        except UnicodeEncodeError as error:
            raise NotLinear("holds half of a surrogate pair") from error

    def is_in(self, text: str) -> bool:
        """Whether it matches anywhere in the text."""
        return self._compiled.search(_whole(text)) is not None

    def spans(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of each match that is not empty, from left to right, in characters."""
        for match in self._compiled.finditer(_whole(text)):
            if match.end() > match.start():
                yield match.start(), match.end()


class PatternFlaw(NamedTuple):
    """An expression of a policy that is not taken: where it stands, and why."""

    place: tuple[str | int, ...]
    why: str


@lru_cache(maxsize=1_024)
def linear(pattern: str) -> LinearPattern:
    """The compiled expression, remembered. Raises NotLinear."""
    return LinearPattern(pattern)


def linear_or_none(pattern: str) -> LinearPattern | None:
    """The compiled expression, None when it is not taken: a policy set by an older version may hold one."""
    try:
        return linear(pattern)
    except NotLinear:
        return None


def pattern_flaws(policy: Policy) -> Iterator[PatternFlaw]:
    """Find the expressions of a policy that cannot be matched in linear time."""
    for place, pattern in _patterns(policy):
        try:
            linear(pattern)
        except NotLinear as error:
            yield PatternFlaw(place, str(error))


def _patterns(policy: Policy) -> Iterator[tuple[tuple[str | int, ...], str]]:
    for name, category in policy.categories.items():
        for number, mask in enumerate(category.mask):
            yield ("categories", name, "mask", number), mask
    for number, rule in enumerate(policy.rules):
        if rule.when.pattern is not None:
            yield ("rules", number, "when", "pattern"), rule.when.pattern


def _in_re2(pattern: str) -> str:
    """The expression as RE2 reads it. Raises NotLinear for what it would read otherwise than `re`."""
    if r"\b" in pattern.lower() and any(ord(char) > 127 and char.isalpha() for char in pattern):
        raise NotLinear(
            r"holds \b and letters outside of ASCII, which \b does not count as letters:"
            r" write (?:^|\W) and (?:\W|$) in its place"
        )
    end = "$" if _MULTILINE.search(pattern) else _END
    return _PIECE.sub(lambda piece: _set(piece[0]) if piece[0][0] == "[" else _outside(piece[0], end), pattern)


def _set(brackets: str) -> str:
    """A set in brackets as RE2 reads it."""
    opening = "[^" if brackets.startswith("[^") else "["
    content = brackets[len(opening) : -1]
    if "[:" in content:
        raise NotLinear("holds [: inside brackets: put the colon before the bracket")
    if content.startswith("]"):
        content = "\\" + content
    return opening + _ESCAPED.sub(lambda escaped: _in_set(escaped[1]), content) + "]"


def _in_set(escaped: str) -> str:
    if escaped in "WS":
        raise NotLinear(f"holds \\{escaped} inside brackets: write the set without it")
    return _INSIDE.get(escaped, "\\" + escaped)


def _outside(piece: str, end: str) -> str:
    """An escape, a count without a lower bound, or an end of text, outside of brackets."""
    if piece.startswith("\\"):
        return _OUTSIDE.get(piece[1], piece)
    return end if piece == "$" else "{0,"


def _why(error: Exception) -> str:
    said = str(error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error)
    return f"needs what linear matching lacks, look-around or a back-reference, or is too large ({said})"


def _whole(text: str) -> str:
    """The text with halves of surrogate pairs replaced one by one, since UTF-8 has no form for them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
