"""Text on standard input, whatever the locale makes of bytes that are none."""

from __future__ import annotations

import io

import pytest

from refrain.ops.terminal.standard_input import read_text
from refrain.streams.errors import BadInput


def given(monkeypatch: pytest.MonkeyPatch, data: bytes, errors: str = "strict") -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), "utf-8", errors))


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_text_is_taken_and_what_is_none_is_refused(errors: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, "\ufeffäöü 1-2-x\n".encode(), errors)
    assert read_text() == "äöü 1-2-x\n"
    given(monkeypatch, b'{"id": "\xff\xfe"}', errors)
    with pytest.raises(BadInput, match=r"no UTF-8, at \w+ 8: give text"):
        read_text()


def test_more_than_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, b"12345")
    with pytest.raises(BadInput, match="more than 4 characters"):
        read_text(4)
    given(monkeypatch, b"1234")
    assert read_text(4) == "1234"
