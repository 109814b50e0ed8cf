"""Hidden text: characters of a question that people do not see, and that a model may read all the same.

They are found by their properties in Unicode: format and control characters, private use, halves of surrogate pairs,
code points without a character, what is to be ignored by default where it cannot be shown, and blanks of unusual width.
A few that writing needs, each where it needs them, are no hidden text.
"""

from __future__ import annotations

import re
import unicodedata

_IGNORED = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U0001d159\U000e0100-\U000e01ef]"
)
"""Letters, marks and a symbol that show nothing: ignored by default (Unicode's Default_Ignorable_Code_Point, beyond the
format characters), the blank of Braille, and a note without a head."""
_LINES = str.maketrans("\n\r\t", "   ")
_BLANKS = frozenset("\u00a0\u202f\u3000")
"""Blanks that typography uses; each stands alone, or beside one plain blank."""
_JOINERS = frozenset("\u200c\u200d")
_MARK_OF_ORDER = "\ufeff"
_EMOJI_STYLES = frozenset("\ufe0e\ufe0f")
_KEYS = frozenset("#*0123456789\u203c\u2049\u3030")
"""Signs that are no symbols, and may be shown as emoji."""
_CURSIVE = frozenset(("AL", "NSM"))
"""Bidirectional classes of letters that are joined in writing, and of marks on them."""
_VIRAMA = 9
"""Unicode's combining class of marks behind which scripts of India join letters, or keep them apart."""


def hidden_text(text: str) -> tuple[str, ...]:
    """Runs of hidden characters of a text, in their order."""
    if text.translate(_LINES).isprintable() and (text.isascii() or _IGNORED.search(text) is None):
        return ()
    runs: list[str] = []
    end = -1
    for at, char in enumerate(text):
        if not _is_hidden(char) or _is_needed(text, at):
            continue
        if at == end:
            runs[-1] += char
        else:
            runs.append(char)
        end = at + 1
    return tuple(runs)


def _is_hidden(char: str) -> bool:
    return not (char.isprintable() or char in "\n\r\t") or _IGNORED.match(char) is not None


def _is_needed(text: str, at: int) -> bool:
    """Whether a text needs a character where it stands, or has it from a file's encoding."""
    char, before, behind = text[at], text[at - 1 : at], text[at + 1 : at + 2]
    if char == _MARK_OF_ORDER:
        return at in (0, len(text) - 1)
    if not before or char in (before, behind):
        return False
    if char in _BLANKS:
        around = text[max(0, at - 2) : at + 3]
        return sum(map(str.isspace, around)) <= 2 and not (before.isspace() and behind.isspace())
    if char in _EMOJI_STYLES:
        return _is_pictured(before)
    return char in _JOINERS and bool(behind) and _joins(char, before, behind)


def _joins(char: str, before: str, behind: str) -> bool:
    """Whether a joiner stands where scripts use it (RFC 5892, appendix A.1 and A.2), or between two emoji."""
    if char == "\u200d" and (_is_pictured(before) or before in _EMOJI_STYLES):
        return _is_pictured(behind)
    if unicodedata.combining(before) == _VIRAMA:
        return True
    return unicodedata.bidirectional(before) in _CURSIVE and unicodedata.bidirectional(behind) == "AL"


def _is_pictured(char: str) -> bool:
    """Whether a character is an emoji, its shade, or a sign that is shown as one."""
    return char in _KEYS or unicodedata.category(char) in ("So", "Sk", "Sm")
