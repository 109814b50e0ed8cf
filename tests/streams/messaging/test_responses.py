"""A response can be made for whatever reply somebody wrote."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.base import Header, Reply
from refrain.streams.kafka.interface import Outgoing
from refrain.streams.messaging.responses import error_response, reply_of, respond

RESPONSE = error_response("deadline_exceeded", "too late")
CHARACTERS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(
    topic=st.just("responses") | st.from_regex(r"/[A-Za-z0-9._-]{1,249}", fullmatch=True),
    partition=st.none() | st.integers(min_value=0, max_value=2**40),
    key=st.none() | CHARACTERS,
    headers=st.lists(st.tuples(CHARACTERS, st.none() | CHARACTERS), max_size=5),
)
def test_whatever_a_reply_says_there_is_a_response(
    topic: str, partition: int | None, key: str | None, headers: list[tuple[str, str | None]]
) -> None:
    written = tuple(Header(name=name, value=value) for name, value in headers)
    out = respond(Reply(topic=topic, partition=partition, key=key, headers=written), RESPONSE)
    assert (out.topic, out.partition, out.value) == (topic, partition, RESPONSE.encode())
    assert len(out.headers) <= len(headers)


@given(
    key=st.none() | st.binary(max_size=40),
    headers=st.lists(st.tuples(CHARACTERS, st.none() | st.binary(max_size=40)), max_size=5).map(tuple),
)
def test_key_and_headers_of_a_request_come_back_as_they_were(
    key: bytes | None, headers: tuple[tuple[str, bytes | None], ...]
) -> None:
    reply = Reply.model_validate_json(reply_of("/team", 3, key, headers).model_dump_json())
    assert respond(reply, RESPONSE) == Outgoing("/team", key, RESPONSE.encode(), headers, 3)


@pytest.mark.parametrize("text", ["no base64!", "ä", "YQ", "YQ=", "Y Q==", "YQ==\n"])
def test_what_is_no_base64_is_left_out(text: str) -> None:
    headers = (
        Header(name="bad", value=text),
        Header(name="none"),
        Header(name="good", value=base64.b64encode(b"v").decode()),
    )
    out = respond(Reply(topic="responses", key=text, headers=headers), RESPONSE)
    assert (out.key, out.headers) == (None, (("none", None), ("good", b"v")))
