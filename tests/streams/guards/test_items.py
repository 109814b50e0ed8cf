"""Texts as items: read piece by piece, which must not show."""

from __future__ import annotations

import pytest
from hypothesis import example, given

from refrain.streams.guards.items import items
from refrain.streams.guards.tokens import CHARS_MAX, TOKENS_MAX
from tests.streams.guards.texts import TEXTS


def said(text: str) -> list[tuple[str, str, str, str, bool]]:
    return [(item.low, item.stem, item.text, item.kind, item.initial) for item in items(text)[0].items]


@given(TEXTS)
@example("Meet me at 7 pm or 7\u00a0am. It is 3 - 5 or 3-5, get rid of it - now")
@example('\n ("Is it US or us?") DON\'T: a.b /etc/x C:\\x x@y.org -1 -x')
def test_a_text_says_the_same_in_pieces_and_as_a_whole(text: str) -> None:
    # A text that is longer than what is looked at is not read in pieces; of a fence the blanks behind are a part.
    if "`" not in text:
        assert said(text) == said(text + " " * CHARS_MAX)


@pytest.mark.parametrize("text", ["( " * (TOKENS_MAX + 1), "(" * (TOKENS_MAX + 1), "a " + "(" * TOKENS_MAX])
def test_what_is_beyond_the_bound_of_tokens_is_not_read(text: str) -> None:
    found, end = items(text)
    assert len(found.items) == TOKENS_MAX
    assert text[end:] == "(" or text[end:] == "( "
