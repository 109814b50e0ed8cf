"""A dead letter holds the original as it came as far as it can be sent, and says what it leaves out."""

from __future__ import annotations

import hashlib
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.dead_letters import HEADER_ID, HEADER_LEFT_OUT, HEADER_OFFSET, HEADER_REASON, HEADERS
from refrain.schemas.topics import BY_NAME
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.kafka.config import PRODUCE_BYTES_MAX
from refrain.streams.kafka.interface import Headers, Outgoing, Record, headers_bytes
from refrain.streams.messaging.dead_letters import LETTER_BYTES_MAX, REASON_CHARS_MAX, dead_letter, reject
from refrain.streams.metrics import Metrics

REFUSAL = Refusal(RefusalCode.UNREADABLE, "no")


def record(value: bytes | None, headers: Headers = (), key: bytes | None = b"k") -> Record:
    return Record("load", 1, 2, 3, key, value, headers)


def size(letter: Outgoing) -> int:
    return len(letter.key or b"") + len(letter.value or b"") + headers_bytes(letter.headers)


def left_out(letter: Outgoing) -> str | None:
    found = dict(letter.headers).get(HEADER_LEFT_OUT)
    return None if found is None else found.decode()


def test_a_letter_holds_the_original_as_it_came() -> None:
    letter = dead_letter(record(b"\xff", (("a", b"1"), ("a", None))), REFUSAL, "p")
    assert (letter.key, letter.value, letter.headers[:2]) == (b"k", b"\xff", (("a", b"1"), ("a", None)))
    assert {name for name, _ in letter.headers[2:]} == set(HEADERS)
    assert left_out(letter) is None


def test_a_letter_that_is_written_twice_has_one_id_and_any_other_has_another() -> None:
    here = record(b"v")

    def id_of(record: Record, refusal: Refusal = REFUSAL, processor: str = "p", *, with_text: bool = True) -> bytes:
        return dict(dead_letter(record, refusal, processor, with_text=with_text).headers)[HEADER_ID] or b""

    assert id_of(here) == id_of(here, Refusal(RefusalCode.UNREADABLE, "in other words"), with_text=False)
    # Nothing of what was sent is in it: it may be of a category that is never kept.
    assert id_of(here) == id_of(here._replace(key=None, value=None, headers=(("a", b"1"),)))
    others = [
        id_of(here._replace(topic="forwards")),
        id_of(here._replace(partition=2)),
        id_of(here._replace(offset=3)),
        # The topic was made anew.
        id_of(here._replace(timestamp_ms=4)),
        id_of(here, processor="q"),
        id_of(here, Refusal(RefusalCode.INTERNAL, "no")),
    ]
    assert len({id_of(here), *others}) == 7


def test_headers_leave_before_the_text() -> None:
    letter = dead_letter(record(b"v", (("big", b"x" * 3_000_000),)), REFUSAL, "p")
    assert (letter.key, letter.value, {name for name, _ in letter.headers}) == (
        b"k", b"v", {*HEADERS, HEADER_LEFT_OUT},
    )  # fmt: skip
    assert left_out(letter) == "headers; 1 of 3000035 bytes"


def test_many_small_headers_leave_too() -> None:
    letter = dead_letter(record(b"v", (("", b""),) * 65_000), REFUSAL, "p")
    assert (letter.value, len(letter.headers)) == (b"v", len(HEADERS) + 1)


def test_text_that_is_too_large_leaves_a_digest() -> None:
    value = b"x" * 2_500_000
    letter = dead_letter(record(value), REFUSAL, "p")
    assert (letter.key, letter.value) == (None, None)
    digest = hashlib.sha256(value[:1_000_000]).hexdigest()
    said = f"headers, key, value; key 1 bytes, value 2500000 bytes, sha256 of the first 1000000 {digest}"
    assert left_out(letter) == said


def test_a_key_that_is_too_large_leaves_with_the_value() -> None:
    letter = dead_letter(record(b"v", key=b"k" * 2_500_000), REFUSAL, "p")
    assert (letter.key, letter.value) == (None, None)
    assert (left_out(letter) or "").endswith(hashlib.sha256(b"v").hexdigest())


def test_headers_that_could_not_be_read_are_said_to_be_left_out() -> None:
    letter = dead_letter(record(b"v")._replace(headers_unreadable=True), REFUSAL, "p")
    assert (letter.value, left_out(letter)) == (b"v", "headers; unreadable names")


def test_without_text_not_even_a_digest_is_kept() -> None:
    for value in (b"v", b"x" * 3_000_000):
        letter = dead_letter(record(value, (("a", b"1"),)), REFUSAL, "p", with_text=False)
        assert (letter.key, letter.value, {name for name, _ in letter.headers}) == (None, None, set(HEADERS))


def test_nobody_forges_what_a_letter_says_of_its_original() -> None:
    forged = ((HEADER_OFFSET, b"9"), (HEADER_REASON, b"forged"), (HEADER_LEFT_OUT, b"forged"))
    letter = dead_letter(record(b"v", forged), REFUSAL, "p")
    assert [value for name, value in letter.headers if name == HEADER_OFFSET] == [b"2"]
    assert not any(value == b"forged" for _, value in letter.headers)


@given(
    st.integers(0, 2_400_000), st.integers(0, 2_400_000), st.integers(0, 3), st.integers(0, 2_400_000),
    st.text(max_size=40), st.integers(0, 10_000),
)  # fmt: skip
def test_a_letter_can_always_be_sent(key: int, value: int, headers: int, header: int, name: str, reason: int) -> None:
    original = record(b"v" * value, ((name, b"h" * header),) * headers, b"k" * key)
    letter = dead_letter(original, Refusal(RefusalCode.INTERNAL, "r" * reason), "p")
    room = REASON_CHARS_MAX + 1_000
    assert size(letter) <= LETTER_BYTES_MAX + room <= min(BY_NAME["dead-letters"].max_bytes, PRODUCE_BYTES_MAX)
    assert size(dead_letter(original, REFUSAL, "p", bytes_max=1_000)) <= 1_000 + room


def test_a_letter_of_100_megabytes_costs_what_one_of_three_does() -> None:
    """By the bytes that are read of it, not by a clock."""

    class Counted(bytes):
        read = 0

        def __getitem__(self, at: object) -> bytes:  # type: ignore[override]
            assert isinstance(at, slice)
            part = bytes.__getitem__(self, at)
            Counted.read += len(part)
            return part

    dead_letter(record(Counted(100_000_000)), REFUSAL, "p")
    assert Counted.read == 1_000_000


def test_the_log_names_place_and_code_and_never_what_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        reject(record(b"my secret"), Refusal(RefusalCode.BAD_FIELD, "my secret"), "p", Metrics())
    assert "load[1]@2 refused: bad_field" in caplog.text
    assert "secret" not in caplog.text
