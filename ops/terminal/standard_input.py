"""Text on standard input."""

from __future__ import annotations

import sys

from refrain.streams.errors import BadInput

MARK = "\ufeff"
"""What some programs put before a text, to tell how it is encoded."""
_UNDECODED = range(0xDC80, 0xDD00)
"""What stands in a text for bytes that are no UTF-8, where the locale lets them pass."""


def read_text(chars_max: int = 64_000_000) -> str:
    """All of it. Raises BadInput for what is no UTF-8, and for more than `chars_max` characters."""
    try:
        text = sys.stdin.read(chars_max + 1)
    except UnicodeDecodeError as wrong:
        raise BadInput(f"what is on standard input is no UTF-8, at byte {wrong.start}: give text") from wrong
    if len(text) > chars_max:
        raise BadInput(f"there are more than {chars_max} characters on standard input: give less at once")
    at = None if text.isascii() else next((at for at, each in enumerate(text) if ord(each) in _UNDECODED), None)
    if at is not None:
        raise BadInput(f"what is on standard input is no UTF-8, at character {at}: give text")
    return text.removeprefix(MARK)
