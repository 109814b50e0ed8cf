"""Errors as HTTP tells them, in OpenAI's form, and which error of Refrain is which status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from refrain.schemas.responses import Problem
from refrain.streams.errors import RefusalCode
from refrain.streams.messaging.model_errors import OVERLOADED, server_answer_in

OPENED = frozenset({"fold_failed", "internal", "shard_recovered", "answer_withheld", "not_sent", "bad_reply_to",
                    "closed", "not_read", "no_response"})  # fmt: skip
"""Codes that tell of the cache and not of the request: the model is called without it."""
UNFIT = frozenset({"too_large", "too_deep", "question_too_long", "empty_question"})
"""Codes of requests that the cache does not take and a model may: it is called without the cache where that may be."""
STATUS: Mapping[str, int] = {
    "unreadable": 400, "unknown_version": 400, "too_deep": 400, "bad_field": 400, "empty_question": 400,
    "question_too_long": 400, "too_large": 413, "tenant_not_yours": 403, "not_cached": 404,
    "deadline_exceeded": 504, "upstream_failed": 502, "answer_too_large": 502, "fold_failed": 500, "internal": 500,
}  # fmt: skip
UNAVAILABLE = 503
"""The status of every other code: the same request may succeed in a moment."""
OF_MODEL: Mapping[int, int] = {
    **{status: status for status in (400, 404, 410, 413, 422, 429, 451)},
    # It is too early for Refrain to ask, or it cannot answer now: the client comes back.
    425: UNAVAILABLE, 503: UNAVAILABLE, OVERLOADED: UNAVAILABLE,
    # What took it too long was Refrain's request, not the client's.
    408: 504, 504: 504,
}  # fmt: skip
"""What a client is told for a status of the model's server; others (a wrong key, a broken server) are between that and
Refrain, and are told as 502."""
BUSY = frozenset({429, UNAVAILABLE})
"""Statuses that say when to ask again."""


class HttpProblem(Exception):
    """A request that ends with an HTTP error. `code` is for programs, the text for people."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The body in OpenAI's form."""
        return {
            "error": {
                "message": self.message,
                "type": _type_of(self.status),
                "param": self.param,
                "code": self.code,
            }
        }

    def response(self) -> JSONResponse:
        """The response."""
        return JSONResponse(self.body(), self.status, self.headers)


def problem_of(problem: Problem, headers: Mapping[str, str]) -> HttpProblem:
    """The HTTP error of an error of Refrain, with these headers."""
    status = STATUS.get(problem.code, UNAVAILABLE)
    said = server_answer_in(problem.message) if problem.code == RefusalCode.UPSTREAM.value else None
    if said is not None:
        status = OF_MODEL.get(said.status, status)
    pause_s = 0 if said is None or (status < 500 and status not in BUSY) else said.pause_s
    comes_back = pause_s > 0 or status in BUSY
    more = {"retry-after": str(max(1, pause_s))} if comes_back else {"x-should-retry": "false"}
    return HttpProblem(status, problem.code, problem.message, headers={**headers, **more})


def unauthorized(message: str, challenge: str = "Bearer") -> HttpProblem:
    """The error of a client without a key or token that counts. The message holds nothing of what it showed."""
    return HttpProblem(401, "invalid_api_key", message, headers={"www-authenticate": challenge})


def overloaded(most: int, what: str = "requests are under way") -> HttpProblem:
    """The error of one request, or connection, too many."""
    text = f"{most} {what}, which is all that is worked at a time: try again in a second"
    return HttpProblem(429, "too_many_requests", text, headers={"retry-after": "1"})


def headers_too_large(bytes_max: int) -> HttpProblem:
    """The error of a request line with headers beyond the bound."""
    text = f"the headers are larger than {bytes_max} bytes: send fewer"
    return HttpProblem(431, "headers_too_large", text, headers={"connection": "close"})


def _type_of(status: int) -> str:
    names = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
    return names.get(status) or ("invalid_request_error" if status < 500 else "server_error")
