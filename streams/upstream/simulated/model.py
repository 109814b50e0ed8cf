"""The simulated model: answers, latencies and failures that depend on nothing but the request and a seed.

A question or `metadata.simulate` may ask for more, in square brackets or by name: `[simulate:fail]`,
`[simulate:slow]`, `[simulate:length]`, `[simulate:refusal]`, `[simulate:large]`, `[simulate:huge]`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import random
import re
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from pydantic_core import to_json

from refrain.schemas.forwards import Forward
from refrain.streams.errors import RefusalCode
from refrain.streams.messaging.chunks import chunks_of
from refrain.streams.settings import Upstream
from refrain.streams.upstream.live_answer import Relay, new_attempt, tell_nobody
from refrain.streams.upstream.model import Answer, failed_answer

SLOW_S = 3.0
LARGE_CHARS = 400_000
"""More than a policy lets an entry take by default, less than a topic takes."""
QUESTION_CHARS_MAX = 120
_ASKED = re.compile(r"\[simulate:([a-z]+)\]")


class SimulatedCall(NamedTuple):
    """A simulated call: `answer`, after `latency_s`."""

    latency_s: float
    answer: Answer


class SimulatedModel:
    """Answers like `simulate`, in as much time as it says. `sleep` takes seconds.

    Who wants to hear of an answer gets its words through `relay`, spread over the second half of that time.
    """

    def __init__(
        self,
        settings: Upstream,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        relay: Relay = tell_nobody,
    ) -> None:
        self._settings = settings
        self._sleep = sleep
        self._relay = relay

    async def answer(self, forward: Forward) -> Answer:
        """The same answer for the same forward, however often it is asked."""
        created_s = forward.deadline_at_ms // 1_000
        simulated = simulate(forward.body, forward.forward_id, created_s, self._settings)
        body, place = simulated.answer.body, forward.progress
        if body is None or place is None:
            await self._sleep(simulated.latency_s)
            return simulated.answer
        chunks, attempt = list(chunks_of(body, with_usage=False)), new_attempt()
        await self._sleep(simulated.latency_s / 2)
        for chunk in chunks:
            self._relay(place, attempt, chunk)
            await self._sleep(simulated.latency_s / 2 / len(chunks))
        return simulated.answer

    async def close(self) -> None:
        """Do nothing: no connection is held."""


def simulate(body: dict[str, Any], identity: str, created_s: int, settings: Upstream) -> SimulatedCall:
    """Simulate a call with `body`; `identity` and the seed decide latency and failure."""
    draw = random.Random(f"{settings.seed}/{identity}")
    fails = draw.random() < settings.failure_rate
    latency_s = settings.latency_median_ms / 1_000 * math.exp(settings.latency_sigma * draw.gauss(0.0, 1.0))
    question = last_user_text(body)
    asked = _asked(body, question)
    if "slow" in asked:
        latency_s = SLOW_S
    if fails or "fail" in asked:
        return SimulatedCall(
            latency_s, failed_answer(RefusalCode.UPSTREAM, "the simulated model failed, as it was told to")
        )
    completion = _completion(body, question, asked, identity, created_s, settings)
    if len(to_json(completion)) > settings.answer_bytes_max:
        text = f"the model's answer is larger than {settings.answer_bytes_max} bytes"
        return SimulatedCall(latency_s, failed_answer(RefusalCode.ANSWER_TOO_LARGE, text))
    return SimulatedCall(latency_s, Answer(body=completion))


def last_user_text(body: dict[str, Any]) -> str:
    """The text of the last user message, empty when there is none."""
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            return _text(message.get("content"))
    return ""


def _text(content: object) -> str:
    if isinstance(content, list):
        parts = (part.get("text") for part in content if isinstance(part, dict))
        return " ".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else ""


def _asked(body: dict[str, Any], question: str) -> set[str]:
    metadata = body.get("metadata")
    named = metadata.get("simulate") if isinstance(metadata, dict) else None
    return {*_ASKED.findall(question), *([named] if isinstance(named, str) else [])}


def _completion(
    body: dict[str, Any], question: str, asked: set[str], identity: str, created_s: int, settings: Upstream
) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": _words(body, question, asked, settings)}
    if "refusal" in asked:
        message = {"role": "assistant", "content": None, "refusal": "The simulated model declines, as it was told to."}
    asked_words, said_words = len(question.split()), len((message["content"] or "").split())
    return {
        "id": f"chatcmpl-{identity}",
        "object": "chat.completion",
        "created": created_s,
        "model": body.get("model"),
        "choices": [
            {"index": 0, "message": message, "finish_reason": "length" if "length" in asked else "stop"},
        ],
        "usage": {
            "prompt_tokens": asked_words,
            "completion_tokens": said_words,
            "total_tokens": asked_words + said_words,
        },
    }


def _words(body: dict[str, Any], question: str, asked: set[str], settings: Upstream) -> str:
    whole = json.dumps(body, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(whole.encode()).hexdigest()[:16]
    text = f"Simulated answer {digest} to: {question[:QUESTION_CHARS_MAX]}"
    if "huge" in asked:
        return text + " " + "x" * (settings.answer_bytes_max + 1)
    if "large" in asked:
        return text + " " + "x" * LARGE_CHARS
    return text
