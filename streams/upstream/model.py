"""The model, as the connector calls it: a forward in, an answer or a problem out."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from refrain.schemas.forwards import Completion, Forward, Status
from refrain.schemas.responses import Problem
from refrain.streams.errors import RefusalCode

COMPLETION_BYTES_MAX = 2_000_000
"""The largest completion; `completions` takes a little more."""


class Answer(NamedTuple):
    """The answer of a model: a chat.completion object (`body`), or a `problem`."""

    body: dict[str, Any] | None = None
    problem: Problem | None = None
    failure: str | None = None
    """What came in place of an answer, without the server's words: `HTTP 503`, `ConnectError`, `timeout`."""


class Model(Protocol):
    """A model, called from one event loop. A call never raises for what a server does."""

    async def answer(self, forward: Forward) -> Answer: ...
    async def close(self) -> None: ...


def failed_answer(code: RefusalCode, message: str, failure: str | None = None) -> Answer:
    """An answer that is a problem; `failure` is short and without the server's words, else it is the code."""
    return Answer(problem=Problem(code=code.value, message=message), failure=failure or code.value)


def completion_of(forward_id: str, route: str, answer: Answer, latency_ms: int) -> Completion:
    """The completion of a forward with this answer."""
    if answer.body is not None:
        return Completion(forward_id=forward_id, route=route, status=Status.OK, body=answer.body, latency_ms=latency_ms)
    problem = answer.problem or Problem(code=RefusalCode.UPSTREAM.value, message="the model gave no reason")
    return Completion(forward_id=forward_id, route=route, status=Status.FAILED, error=problem, latency_ms=latency_ms)


def encode_completion(completion: Completion) -> bytes:
    """Encode a completion as the value of a record; one too large for the topic becomes a failure."""
    value = completion.encode()
    if len(value) <= COMPLETION_BYTES_MAX:
        return value
    problem = f"the answer takes {len(value)} bytes; at most {COMPLETION_BYTES_MAX} are carried"
    return completion_of(
        completion.forward_id,
        completion.route,
        failed_answer(RefusalCode.ANSWER_TOO_LARGE, problem),
        completion.latency_ms,
    ).encode()
