"""A whole answer as the chunks of a stream, and the rest of one that has begun."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrain.schemas.progress import Progress
from refrain.streams.edge.live import LiveChunks
from refrain.streams.edge.problems import HttpProblem
from refrain.streams.messaging.chunks import PIECES_MAX, chunks_of, pieces


def answer(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    choices = [{"index": n, "message": each, "finish_reason": "stop"} for n, each in enumerate(messages)]
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, **more}


def piece(text: str | None = None, attempt: int = 1, index: int = 0, **delta: Any) -> Progress:
    said = delta if text is None else {"content": text, **delta}
    return Progress(attempt=attempt, chunk={"id": "c", "choices": [{"index": index, "delta": said}]})


def text_of(chunks: list[dict[str, Any]], index: int = 0) -> str:
    parts = [each for chunk in chunks for each in chunk["choices"] if each["index"] == index]
    return "".join(each["delta"].get("content") or "" for each in parts)


@given(st.text())
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_pieces_are_words_and_of_a_long_text_several() -> None:
    assert pieces("Use reversed(xs),\n or xs[::-1].") == ["Use", " reversed(xs),", "\n or", " xs[::-1]."]
    assert pieces("") == []
    assert len(pieces("word " * 10_000)) <= PIECES_MAX


def test_chunks_have_role_text_end_and_usage_and_what_else_the_answer_has() -> None:
    whole = answer({"role": "assistant", "content": "a b"}, system_fingerprint="fp", usage={"total_tokens": 3})
    chunks = list(chunks_of(whole, with_usage=True))
    assert [each["choices"][0]["delta"] for each in chunks[:-1]] == [
        {"role": "assistant", "content": ""}, {"content": "a"}, {"content": " b"}, {},
    ]  # fmt: skip
    assert [each["choices"][0]["finish_reason"] for each in chunks[:-1]] == [None, None, None, "stop"]
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], {"total_tokens": 3})
    assert all(each["usage"] is None for each in chunks[:-1])
    assert {each["object"] for each in chunks} == {"chat.completion.chunk"}
    assert {each["system_fingerprint"] for each in chunks} == {"fp"}


def test_tool_calls_get_their_places() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    chunks = list(chunks_of(answer({"role": "assistant", "content": None, "tool_calls": [call]}), with_usage=False))
    deltas = [each["choices"][0]["delta"] for each in chunks]
    assert deltas == [{"role": "assistant", "content": None}, {"tool_calls": [{"index": 0, **call}]}, {}]


@pytest.mark.parametrize("body", [{}, {"choices": None}, {"choices": [1]}, {"choices": [{"message": 1}]}])
def test_an_odd_answer_still_ends_with_its_usage(body: dict[str, Any]) -> None:
    *said, end = chunks_of(body, with_usage=True)
    assert (end["choices"], end["usage"]["total_tokens"]) == ([], 0)
    assert [each["usage"] for each in said] == [None] * len(said)


def test_the_rest_of_a_live_answer_is_what_was_not_said() -> None:
    live = LiveChunks(with_usage=True)
    said = [live.take(piece(role="assistant", content="")), live.take(piece("a b")), live.take(piece("x", attempt=2))]
    assert said[2] is None
    first = [each for each in said if each is not None]
    left = list(live.rest(answer({"role": "assistant", "content": "a b c"}, usage={"total_tokens": 3})))
    assert text_of(first) == "a b"
    assert text_of(left) == " c"
    assert not any("role" in each["delta"] for chunk in left for each in chunk["choices"])
    assert left[-1]["usage"] == {"total_tokens": 3}


def test_what_is_no_text_waits_for_the_whole_answer() -> None:
    live = LiveChunks(with_usage=False)
    assert live.take(piece(tool_calls=[{"index": 0, "id": "t"}])) is not None
    assert live.take(piece(tool_calls=[{"index": 0}])) is None
    calls = [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    left = list(live.rest(answer({"role": "assistant", "content": None, "tool_calls": calls})))
    assert [each["choices"][0]["delta"] for each in left] == [{"tool_calls": [{"index": 0, **calls[0]}]}, {}]


def test_another_answer_than_the_one_that_began_is_an_error() -> None:
    live = LiveChunks(with_usage=False)
    live.take(piece("a b"))
    with pytest.raises(HttpProblem):
        list(live.rest(answer({"role": "assistant", "content": "c"})))


def test_a_second_choice_that_never_began_is_told_whole() -> None:
    live = LiveChunks(with_usage=False)
    live.take(piece("a"))
    left = list(live.rest(answer({"content": "a"}, {"content": "b"})))
    assert (text_of(left, 0), text_of(left, 1)) == ("", "b")
