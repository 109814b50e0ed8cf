"""Bytes become a message, or one refusal that says what is wrong and quotes nothing."""

from __future__ import annotations

import pytest

from refrain.schemas.control import decode_command
from refrain.schemas.forwards import Forward
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.messaging.decoding import Envelope, envelope_of, read

GOOD = b'{"v":1,"forward_id":"f","model":"m","body":{"x":1},"deadline_at_ms":5,"route":"r"}'


def refused(value: bytes | None, bytes_max: int | None = None) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read(value, Forward.decode, bytes_max=bytes_max)
    return caught.value


def test_a_whole_message_is_read() -> None:
    assert read(GOOD, Forward.decode).body == {"x": 1}


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (None, RefusalCode.UNREADABLE),
        (b"", RefusalCode.UNREADABLE),
        (b"\xff\xfe", RefusalCode.UNREADABLE),
        (b"{", RefusalCode.UNREADABLE),
        (b"[" * 300, RefusalCode.TOO_DEEP),
        (b'"text"', RefusalCode.BAD_FIELD),
        (b"{}", RefusalCode.BAD_FIELD),
        (GOOD.replace(b'"v":1', b'"v":2'), RefusalCode.UNKNOWN_VERSION),
        (b'{"v":7}', RefusalCode.UNKNOWN_VERSION),
        (GOOD.replace(b'"v":1', b'"v":"1"'), RefusalCode.BAD_FIELD),
    ],
)
def test_what_cannot_be_taken_has_one_code(value: bytes | None, code: RefusalCode) -> None:
    assert refused(value).code is code


def test_wrong_fields_are_named_without_their_values() -> None:
    text = str(refused(b'{"v":1,"forward_id":["secret"],"model":{"secret":1},"body":"secret","route":"r"}'))
    assert "forward_id" in text
    assert "deadline_at_ms" in text
    assert "secret" not in text


def test_the_refusal_does_not_hold_on_to_the_input() -> None:
    assert refused(b'{"forward_id":["secret"]}').__cause__ is None


def test_an_unknown_kind_is_not_quoted() -> None:
    with pytest.raises(Refusal) as caught:
        read(b'{"v":1,"kind":"secret"}', decode_command)
    assert caught.value.code is RefusalCode.BAD_FIELD
    assert "secret" not in str(caught.value)


def test_a_value_over_the_limit_is_not_even_decoded() -> None:
    assert refused(GOOD, bytes_max=10).code is RefusalCode.TOO_LARGE


def test_the_address_is_found_when_the_rest_is_wrong() -> None:
    assert envelope_of(b'{"v":2,"forward_id":"f","route":"r","body":7}') == Envelope(forward_id="f", route="r")
    assert envelope_of(b'{"forward_id":""}') is None
    assert envelope_of(b"garbage") is None
    assert envelope_of(None) is None


def test_a_version_that_cannot_be_one_is_not_quoted() -> None:
    told = refused(b'{"v":4929123412341234}')
    assert told.code is RefusalCode.UNKNOWN_VERSION
    assert "4929" not in str(told)
    assert "version 7" in str(refused(b'{"v":7}'))
