"""The simulated model depends on the request and the seed, and does what it is told."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

import pytest

from refrain.schemas.forwards import Forward
from refrain.streams.settings import Upstream
from refrain.streams.upstream.model import Answer
from refrain.streams.upstream.simulated.model import SLOW_S, SimulatedModel, simulate

SETTINGS = Upstream(connector="simulated")


def body_of(question: object, **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": question}], **more}


def answer(question: object, identity: str = "f", settings: Upstream = SETTINGS, **more: Any) -> Answer:
    return simulate(body_of(question, **more), identity, 100, settings).answer


def choice(found: Answer) -> Any:
    assert found.body is not None
    return found.body["choices"][0]


def test_an_answer_is_a_whole_chat_completion() -> None:
    body = answer("What is a cat?").body
    assert body is not None
    assert (body["id"], body["object"], body["created"], body["model"]) == ("chatcmpl-f", "chat.completion", 100, "m")
    assert body["choices"][0]["finish_reason"] == "stop"
    assert "What is a cat?" in body["choices"][0]["message"]["content"]
    assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]


def test_the_same_forward_has_the_same_answer_and_others_have_others() -> None:
    assert answer("a") == answer("a")
    texts = {choice(found)["message"]["content"] for found in (answer("a"), answer("b"), answer("a", temperature=1))}
    assert len(texts) == 3


def test_the_question_may_come_in_parts_or_not_at_all() -> None:
    parts = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {}}, 7]
    assert "hello" in choice(answer(parts))["message"]["content"]
    for body in ({}, {"messages": 1}, {"messages": [1, {"role": "user", "content": None}]}):
        assert simulate(body, "f", 0, SETTINGS).answer.body is not None


@pytest.mark.parametrize("found", [answer("[simulate:fail] a"), answer("a", metadata={"simulate": "fail"})])
def test_it_fails_when_told_to(found: Answer) -> None:
    assert found.problem is not None
    assert found.problem.code == "upstream_failed"


def test_it_answers_in_other_ways_when_told_to() -> None:
    assert choice(answer("[simulate:length]"))["finish_reason"] == "length"
    assert choice(answer("[simulate:refusal]"))["message"]["refusal"]
    assert 262_144 < len(choice(answer("[simulate:large]"))["message"]["content"]) < SETTINGS.answer_bytes_max
    huge = answer("[simulate:huge]").problem
    assert huge is not None
    assert huge.code == "answer_too_large"
    assert simulate(body_of("[simulate:slow]"), "f", 0, SETTINGS).latency_s == SLOW_S


def test_latencies_and_failures_follow_the_seed() -> None:
    settings = Upstream(latency_median_ms=200, latency_sigma=0.5, failure_rate=0.25)
    runs = [simulate(body_of("a"), f"f{n}", 0, settings) for n in range(2_000)]
    assert runs == [simulate(body_of("a"), f"f{n}", 0, settings) for n in range(2_000)]
    assert 0.19 < statistics.median(run.latency_s for run in runs) < 0.21
    assert 450 < sum(run.answer.problem is not None for run in runs) < 550
    other = simulate(body_of("a"), "f1", 0, settings.model_copy(update={"seed": 8}))
    assert other.latency_s != runs[1].latency_s


def test_the_model_takes_as_long_as_it_says() -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    forward = Forward(forward_id="f", model="m", body=body_of("a"), deadline_at_ms=9_000, route="r")
    found = asyncio.run(SimulatedModel(SETTINGS, sleep).answer(forward))
    expected = simulate(forward.body, "f", 9, SETTINGS)
    assert (found, slept) == (expected.answer, [expected.latency_s])
