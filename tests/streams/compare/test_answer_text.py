"""The text of an answer, from its projection."""

from __future__ import annotations

import json
from typing import Any

import pytest

from refrain.schemas.base import Sealed
from refrain.streams.compare.answer_text import text_of
from refrain.streams.errors import Refusal, RefusalCode

CALL = {"id": "call_1", "index": 0, "type": "function", "function": {"name": "go", "arguments": '{"to":"Köln"}'}}


def kept(**message: Any) -> Sealed:
    return Sealed(data=json.dumps({"model": "m", "message": message, "finish_reason": "stop"}))


def test_it_is_the_content_of_the_message() -> None:
    assert text_of(kept(role="assistant", content="hello")) == "hello"
    parts = [{"type": "text", "text": "one"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "two"}]
    assert text_of(kept(content=parts)) == "one\ntwo"


def test_tool_calls_are_their_json_without_what_numbers_them() -> None:
    said = '{"type":"function","function":{"name":"go","arguments":"{\\"to\\":\\"Köln\\"}"}}'
    assert text_of(kept(content=None, tool_calls=[CALL])) == said
    assert text_of(kept(content="On my way", tool_calls=[CALL | {"id": "call_2", "index": 1}])) == f"On my way\n{said}"
    assert text_of(kept(content=None, function_call={"name": "go"})) == '{"name":"go"}'


def test_a_refusal_says_why() -> None:
    assert text_of(kept(content=None, refusal="I must not")) == "I must not"


def test_an_answer_without_words_is_empty() -> None:
    assert text_of(kept(content=None)) == ""
    assert text_of(kept(content=" \n")) == ""
    assert text_of(kept(content=[], tool_calls=[])) == ""


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("", RefusalCode.UNREADABLE),
        ("secret", RefusalCode.UNREADABLE),
        ('"secret"', RefusalCode.BAD_FIELD),
        ("{}", RefusalCode.BAD_FIELD),
        ('{"message":"secret"}', RefusalCode.BAD_FIELD),
        ('{"message":{"content":7}}', RefusalCode.BAD_FIELD),
        ('{"message":{"content":"\\ud800"}}', RefusalCode.UNREADABLE),
        ('{"message":{"content":[' + "[" * 300, RefusalCode.TOO_DEEP),
    ],
)
def test_what_is_no_projection_is_refused_without_its_text(data: str, code: RefusalCode) -> None:
    with pytest.raises(Refusal) as refused:
        text_of(Sealed(data=data))
    assert refused.value.code is code
    assert "secret" not in str(refused.value)
