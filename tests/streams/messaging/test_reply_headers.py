"""Which headers of a request come back with its response."""

from __future__ import annotations

import pytest

from refrain.streams.kafka.interface import Headers
from refrain.streams.messaging.reply_headers import UNRETURNED_HEADER, returned, unreturned

MINE: Headers = (("a", b"1"), ("b", None), ("a", b"2"), ("c", b"\xff"))


def test_all_headers_come_back_unless_the_request_says_otherwise() -> None:
    assert returned(MINE) == MINE


def test_what_is_named_does_not_come_back_and_nor_does_the_header_that_names_it() -> None:
    assert returned((*MINE, (UNRETURNED_HEADER, b"a, c"))) == (("b", None),)
    assert returned((*MINE, *unreturned((("d", b"x"), ("e", b"y"))))) == MINE
    assert unreturned(()) == ()


@pytest.mark.parametrize("names", [None, b"", b"\xff\xfe", b",,,", b"A"])
def test_a_header_that_names_nothing_keeps_nothing_back(names: bytes | None) -> None:
    assert returned((*MINE, (UNRETURNED_HEADER, names))) == MINE
