"""Bytes become a request, or one refusal that names what is wrong and quotes nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.messaging.parsing import check_depth, parse, request_of

BODY = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def refusal_of(value: bytes | None, bytes_max: int = 10_000, depth_max: int = 8) -> Refusal:
    with pytest.raises(Refusal) as caught:
        request_of(parse(value, bytes_max=bytes_max, depth_max=depth_max))
    return caught.value


def message(**fields: Any) -> bytes:
    return json.dumps({"v": 1, "body": BODY, **fields}).encode()


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, RefusalCode.UNREADABLE),
        (b"", RefusalCode.UNREADABLE),
        (b"\xff\xfe", RefusalCode.UNREADABLE),
        (b"{", RefusalCode.UNREADABLE),
        (b"[]", RefusalCode.UNREADABLE),
        (b"null", RefusalCode.UNREADABLE),
        (b'{"a": ' + b"9" * 5_000 + b"}", RefusalCode.UNREADABLE),
        ('{"a": 1}'.encode("utf-16"), RefusalCode.UNREADABLE),
        (b"x" * 10_001, RefusalCode.TOO_LARGE),
        (b"[" * 9_000, RefusalCode.TOO_DEEP),
        (b'{"a":' * 9 + b"1" + b"}" * 9, RefusalCode.TOO_DEEP),
        (b'{"a": 1, "a": 1}', RefusalCode.BAD_FIELD),
        (b'{"b": {"a": 1, "a": 2}}', RefusalCode.BAD_FIELD),
        (b'{"a": NaN}', RefusalCode.BAD_FIELD),
        (b'{"a": -Infinity}', RefusalCode.BAD_FIELD),
        (b'{"a": 1e999}', RefusalCode.BAD_FIELD),
        (b'{"a": "\\ud800"}', RefusalCode.BAD_FIELD),
        (b'{"\\uDFFF": 1}', RefusalCode.BAD_FIELD),
        (b"{}", RefusalCode.BAD_FIELD),
        (message(v=2), RefusalCode.UNKNOWN_VERSION),
        (message(v="1"), RefusalCode.BAD_FIELD),
        (message(body="hello"), RefusalCode.BAD_FIELD),
        (message(tenant="a/b"), RefusalCode.BAD_FIELD),
        (message(tenant=""), RefusalCode.BAD_FIELD),
        (message(category="a b"), RefusalCode.BAD_FIELD),
        (message(cache="maybe"), RefusalCode.BAD_FIELD),
        (message(vary=[]), RefusalCode.BAD_FIELD),
        (message(tags=["x"] * 33), RefusalCode.BAD_FIELD),
        (message(sources=[{"version": "1"}]), RefusalCode.BAD_FIELD),
        (message(deadline_at_ms=-1), RefusalCode.BAD_FIELD),
        (message(request_id="x" * 257), RefusalCode.BAD_FIELD),
    ],
)
def test_each_kind_of_bad_bytes_has_its_code(value: bytes | None, code: RefusalCode) -> None:
    assert refusal_of(value).code is code


def test_a_refusal_names_fields_and_quotes_no_value() -> None:
    text = str(refusal_of(message(tenant="secret/words", cache="secret words", vary="secret words")))
    assert all(name in text for name in ("tenant", "cache", "vary"))
    assert "secret" not in text


def test_whole_characters_and_their_escapes_are_taken() -> None:
    assert parse(b'{"a": "\\ud83d\\ude00"}', bytes_max=100, depth_max=4) == {"a": "😀"}


def test_brackets_in_strings_are_no_depth() -> None:
    check_depth(json.dumps({"a": "[" * 500 + '\\"' + "{" * 500}).encode(), 2)


@given(st.recursive(st.text(max_size=4), lambda inner: st.lists(inner, max_size=3), max_leaves=12), st.integers(1, 8))
@example('"[[[[[[[[[\\', 1)
def test_depth_is_that_of_the_parsed_value(value: Any, depth_max: int) -> None:
    def depth(item: Any) -> int:
        return 1 + max(map(depth, item), default=0) if isinstance(item, list) else 0

    data = json.dumps(value).encode()
    if depth(value) <= depth_max:
        check_depth(data, depth_max)
    else:
        with pytest.raises(Refusal):
            check_depth(data, depth_max)


@pytest.mark.parametrize("data", [b'"' + b'\\"' * 400_000, b'"\\' * 400_000, b'["],' * 200_000, b"[]," * 300_000])
def test_a_hostile_megabyte_is_looked_through_once(data: bytes) -> None:
    check_depth(data, 1_000)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_never_crash(value: bytes) -> None:
    try:
        request_of(parse(value, bytes_max=1_000, depth_max=16))
    except Refusal:
        return
