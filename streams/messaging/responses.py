"""Responses to requesters and the bodies in them, byte for byte the same for the same input."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any, Protocol

from refrain.schemas.base import Header, Reply
from refrain.schemas.responses import DecisionSummary, Outcome, Problem, Response
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Headers, Outgoing
from refrain.streams.messaging.warnings import warnings_in

Body = dict[str, Any]

NOT_IN_TIME = "more questions come than can be compared in time: ask again later, or without `only`"
"""The message to a request that wants no model to be called, and that there was no time to look up."""
OF_CHOICE = frozenset({"index", "message", "finish_reason"})
"""Fields of a choice that have a place of their own in a projection."""
OF_CALL = frozenset(
    {
        "model",
        "choices",
        "id",
        "object",
        "created",
        "usage",
        # Of Groq, vLLM, llama.cpp and Cerebras: more ids, counts and times of the call.
        "request_id",
        "x_groq",
        "usage_breakdown",
        "kv_transfer_params",
        "timings",
        "time_info",
    }
)
"""Fields of a body that have a place of their own or tell of one call: no other request's answer has them."""


def reply_of(topic: str, partition: int | None, key: bytes | None, headers: Headers) -> Reply:
    """The reply of a request: topic and partition of its response, and the key and headers it carries back."""
    return Reply(
        topic=topic,
        partition=partition,
        key=None if key is None else base64.b64encode(key).decode("ascii"),
        headers=tuple(
            Header(name=name, value=None if value is None else base64.b64encode(value).decode("ascii"))
            for name, value in headers
        ),
    )


def respond(reply: Reply, response: Response) -> Outgoing:
    """The response as a record for the reply topic, whatever somebody wrote into the reply.

    A key or header that is no base64 is left out. Warnings among the headers are told in the response as well.
    """
    decoded = ((header.name, _decoded(header.value)) for header in reply.headers)
    headers = tuple(
        (name, value)
        for (name, value), header in zip(decoded, reply.headers, strict=True)
        if value is not None or header.value is None
    )
    warnings = warnings_in(headers)
    if warnings:
        response = response.model_copy(update={"warnings": warnings})
    return Outgoing(reply.topic, _decoded(reply.key), response.encode(), headers, reply.partition)


def _decoded(text: str | None) -> bytes | None:
    """The bytes of a base64 text, None for one that is none."""
    try:
        return None if text is None else base64.b64decode(text, validate=True)
    except ValueError:
        return None


def error_response(
    code: RefusalCode | str,
    message: str,
    *,
    request_id: str | None = None,
    tenant: str | None = None,
    decision: DecisionSummary | None = None,
) -> Response:
    """An error response."""
    return Response(
        request_id=request_id,
        tenant=tenant,
        outcome=Outcome.ERROR,
        error=Problem(code=str(code), message=message),
        decision=decision,
    )


class Requester(Protocol):
    """Whatever knows who asked: a request, a question, one that waits, a route."""

    @property
    def request_id(self) -> str | None: ...
    @property
    def tenant(self) -> str | None: ...


def error_for(
    requester: Requester, code: RefusalCode | str, message: str, decision: DecisionSummary | None = None
) -> Response:
    """An error response to whoever asked."""
    return error_response(code, message, request_id=requester.request_id, tenant=requester.tenant, decision=decision)


def project(body: Body) -> Body:
    """Project a model's answer to what is stored of it: its one choice, its model, and what else tells of the answer.

    `choice` and `beside` hold the other fields of the choice and of the body, and are there when there are any.
    """
    choice = body["choices"][0]
    answer = {
        "model": body.get("model"),
        "message": choice["message"],
        "finish_reason": choice.get("finish_reason"),
    }
    others = {
        "choice": {name: value for name, value in choice.items() if name not in OF_CHOICE},
        "beside": {name: value for name, value in body.items() if name not in OF_CALL},
    }
    return answer | {name: fields for name, fields in others.items() if fields}


def whole(answer: Body) -> Body:
    """The chat.completion of a projected answer. Raises ValueError for anything but a projection."""
    if not isinstance(answer, dict) or not isinstance(answer.get("message"), dict):
        raise ValueError("the answer is no projection of a chat.completion")
    choice = {"message": answer["message"], "finish_reason": answer.get("finish_reason")}
    others = [answer.get(name, {}) for name in ("choice", "beside")]
    if not all(isinstance(other, dict) for other in others):
        raise ValueError("the answer is no projection of a chat.completion")
    return {**others[1], "choices": [{**others[0], **choice}]}


def digest_of_answer(answer: Body) -> str:
    """Digest (hex) of a projected answer: of its text, or of its whole message when it says more than text."""
    message = answer["message"]
    text = message.get("content") if isinstance(message, dict) else None
    calls = isinstance(message, dict) and (message.get("tool_calls") or message.get("function_call"))
    said = text if isinstance(text, str) and not calls else compact(message)
    return hashlib.blake2b(said.encode(), digest_size=16).hexdigest()


def tokens_of(body: Body) -> int:
    """The tokens that a model counted for question and answer; 0 when it counted none."""
    usage = body.get("usage")
    total = usage.get("total_tokens") if isinstance(usage, dict) else None
    return total if isinstance(total, int) and not isinstance(total, bool) and total > 0 else 0


def served(answer: Body, decision_id: str, time_ms: int) -> Body:
    """A chat.completion made of a stored answer; `id`, `created` and `usage` are its own."""
    choice: Body = {"index": 0, "message": answer["message"], "finish_reason": answer["finish_reason"]}
    beside: Body = answer.get("beside", {})
    return {
        "id": f"chatcmpl-{decision_id}",
        "object": "chat.completion",
        "created": time_ms // 1_000,
        "model": answer["model"],
        "choices": [choice | answer.get("choice", {})],
        "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    } | beside


def compact(value: object) -> str:
    """JSON without blanks, in the order of the value."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
