"""The connector's live answers: told on chunk by chunk, and whole in the end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from refrain.schemas.forwards import Forward
from refrain.schemas.progress import ProgressPlace
from refrain.streams.settings import Upstream
from refrain.streams.upstream.http_model import HttpModel
from refrain.streams.upstream.live_answer import BrokenStream, WholeAnswer
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.simulated.server import Scripted, SimulatedServer

PLACE = ProgressPlace(partition=1, id="me")
EVENTS = (("Content-Type", "text/event-stream"),)
JSON = (("Content-Type", "application/json"),)


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **more: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [choice], **more}


def stream(*chunks: dict[str, Any], done: bool = True) -> bytes:
    events = [f"data: {json.dumps(each)}\n\n" for each in chunks]
    return ("".join([": hello\r\n\r\n", *events]) + ("data: [DONE]\n\n" if done else "")).encode()


def ask(server: SimulatedServer, place: ProgressPlace | None = PLACE, **settings: Any) -> tuple[Answer, list[Any]]:
    """The answer to a forward, and what was told on meanwhile."""
    told: list[Any] = []
    forward = Forward(
        forward_id="f", model="m", body={"model": "m", "messages": []}, deadline_at_ms=10**13, route="r", progress=place
    )

    async def work() -> Answer:
        chosen = Upstream(base_url=server.base_url, backoff_ms=1, **settings)
        model = HttpModel(chosen, lambda: 0, relay=lambda *each: told.append(each))
        try:
            return await model.answer(forward)
        finally:
            await model.close()

    return asyncio.run(work()), told


def test_each_chunk_is_told_on_and_the_answer_is_whole(server: SimulatedServer) -> None:
    chunks = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Hello"}),
        chunk({"content": " you"}, "stop", system_fingerprint="fp"),
    ]
    usage = {"id": "c-1", "choices": [], "usage": {"total_tokens": 9}}
    server.script.append(Scripted(200, stream(*chunks, usage), EVENTS))
    answer, told = ask(server)
    attempt = told[0][1]
    assert told == [(PLACE, attempt, each) for each in chunks]
    assert answer.body == {
        "id": "c-1", "object": "chat.completion", "created": 7, "model": "m", "system_fingerprint": "fp",
        "usage": {"total_tokens": 9},
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello you"}, "finish_reason": "stop"}
        ],
    }  # fmt: skip
    assert server.calls[0].body["stream"] is True
    assert server.calls[0].body["stream_options"] == {"include_usage": True}


def test_the_chunks_of_another_try_are_told_apart(server: SimulatedServer) -> None:
    # As of a worker that was killed in the middle, and of the one that took its place.
    server.script.extend([Scripted(200, stream(chunk({"content": "Hel"}), chunk({}, "stop")), EVENTS)] * 2)
    (_, first), (_, second) = ask(server), ask(server)
    assert len({attempt for _, attempt, _ in first}) == len({attempt for _, attempt, _ in second}) == 1
    assert first[0][1] != second[0][1]


def test_where_nobody_wants_to_hear_of_it_no_stream_is_asked_for(server: SimulatedServer) -> None:
    answer, told = ask(server, None)
    assert answer.body is not None
    assert told == []
    assert "stream" not in server.calls[0].body


def test_a_server_that_answers_at_once_is_as_good(server: SimulatedServer) -> None:
    server.script.append(Scripted(200, b'{"choices": []}', JSON))
    assert ask(server) == (Answer(body={"choices": []}), [])


def test_a_server_that_knows_no_streams_is_asked_for_a_whole_answer(server: SimulatedServer) -> None:
    server.script.append(Scripted(400, b'{"error": {"message": "stream_options is unknown"}}', JSON))
    server.script.append(Scripted(200, b'{"choices": []}', JSON))
    assert ask(server) == (Answer(body={"choices": []}), [])
    assert "stream" not in server.calls[1].body


def test_a_try_is_made_again_before_the_first_chunk_only(server: SimulatedServer) -> None:
    server.script.append(Scripted(503, b"", JSON))
    server.script.append(Scripted(200, stream(chunk({"content": "Hel"}), done=False), EVENTS))
    answer, told = ask(server, retries=3)
    assert answer.problem is not None
    assert "ended in the middle" in answer.problem.message
    assert len(told) == 1
    assert len(server.calls) == 2


@pytest.mark.parametrize(
    "data",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b'data: {"choices": [1]}\n\n',
        b"data: [DONE]\n\n",
        b"",
        b"data: " + b"x" * 1_100_000,
    ],
)
def test_a_stream_that_is_none_is_a_failure_that_does_not_quote_it(server: SimulatedServer, data: bytes) -> None:
    server.script.append(Scripted(200, data, EVENTS))
    answer, told = ask(server)
    assert answer.problem is not None
    assert answer.problem.code == "upstream_failed"
    assert len(answer.problem.message) < 100
    assert told == []


def test_an_error_in_a_stream_is_the_servers(server: SimulatedServer) -> None:
    server.script.append(Scripted(200, stream({"error": {"message": "no room", "code": 400}}), EVENTS))
    answer, _ = ask(server)
    assert answer.problem is not None
    assert "no room" in answer.problem.message


def test_an_answer_that_is_too_large_is_an_error(server: SimulatedServer) -> None:
    server.script.append(Scripted(200, stream(*[chunk({"content": "x" * 500})] * 4, chunk({}, "stop")), EVENTS))
    answer, _ = ask(server, answer_bytes_max=1_000)
    assert answer.problem is not None
    assert answer.problem.code == "answer_too_large"


def test_tool_calls_choices_and_log_probabilities_are_put_together() -> None:
    whole = WholeAnswer()
    call = {"index": 0, "id": "t", "type": "function", "function": {"name": "look", "arguments": '{"a"'}}
    for each in (
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
        chunk({"tool_calls": [{"index": 1, "id": "u", "function": {"name": "go", "arguments": "{}"}}]}, "tool_calls"),
        chunk({"content": "b", "reasoning_content": "hm"}, index=1),
        {"choices": [{"index": 1, "delta": {}, "logprobs": {"content": [1]}, "finish_reason": None}]},
        {"choices": [{"index": 1, "delta": {}, "logprobs": {"content": [2]}, "finish_reason": "length"}]},
    ):
        whole.add(each)
    first, second = whole.body()["choices"]
    assert [each["function"] for each in first["message"]["tool_calls"]] == [
        {"name": "look", "arguments": '{"a": 1}'}, {"name": "go", "arguments": "{}"},
    ]  # fmt: skip
    assert (first["finish_reason"], first["message"]["content"]) == ("tool_calls", None)
    assert (second["message"]["content"], second["message"]["reasoning_content"]) == ("b", "hm")
    assert (second["logprobs"], second["finish_reason"]) == ({"content": [1, 2]}, "length")


def test_a_tool_call_without_a_place_is_none() -> None:
    with pytest.raises(BrokenStream):
        WholeAnswer().add(chunk({"tool_calls": [{"index": 7}]}))
