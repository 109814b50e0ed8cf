"""Errors in place of an answer: bodies that a server or gateway sends with status 200 and that hold an error."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from refrain.schemas.responses import Problem
from refrain.streams.errors import RefusalCode
from refrain.streams.messaging.credentials import Credentials

OVERLOADED = 529
"""What some servers say for 503."""
STATUS_OF_WORDS: Mapping[str, int] = {
    **dict.fromkeys(
        ("rate_limit_exceeded", "rate_limit_error", "rate_limited", "too_many_requests", "resource_exhausted"), 429
    ),
    **dict.fromkeys(
        ("server_error", "internal_server_error", "internal_error", "internal", "api_error", "unknown_error"), 500
    ),
    "bad_gateway": 502,
    **dict.fromkeys(("overloaded", "overloaded_error", "engine_overloaded", "service_unavailable", "unavailable"), 503),
    **dict.fromkeys(("timeout", "timeout_error", "gateway_timeout", "deadline_exceeded"), 504),
}
"""Codes in words that say the same as 429 and 5xx. `insufficient_quota` is none of them: trying again pays nothing."""
TRANSIENT = frozenset({408, 425, 429})
"""Statuses below 500 after which another try may succeed: too slow, too early, too many."""
_CODE = re.compile(r"[a-z0-9_.-]{1,64}")
_ANSWERED = re.compile(
    r"the server answered (\d{3})\b(?: with an error(?: ([a-z0-9_.-]{1,64}))?)?"
    r"(?:, and asks for a pause of (\d{1,9}) s)?"
)
_SILENT = "the server gave no answer within"
_CREDENTIALS = Credentials()
_CODE_FIELDS = ("code", "status", "status_code", "type")


class ModelError(NamedTuple):
    """An error that came in place of an answer."""

    codes: tuple[str, ...]
    """What it calls itself, most telling first: a status such as `429`, or words such as `rate_limit_exceeded`."""
    message: str
    """The server's words, which may quote the question; empty when there are none."""

    @property
    def code(self) -> str | None:
        """The code that tells most: a status, else words that say the same as one, else what stands first."""
        told = [*filter(is_status, self.codes), *filter(STATUS_OF_WORDS.get, self.codes), *self.codes]
        return told[0] if told else None

    @property
    def is_transient(self) -> bool:
        """Whether another try may succeed, as after a response with that status."""
        status = _status_of(self.code)
        return status is not None and is_transient_status(status)


def error_in(body: Mapping[str, Any]) -> ModelError | None:
    """The error that a chat.completion holds, None for an answer.

    It is the body's `error`, the body itself where its `object` is `error`, or the `error` of a choice.
    """
    return next(_errors(body), None)


def problem_in(body: Mapping[str, Any]) -> Problem | None:
    """The same as a problem for requesters, without the server's words: those may quote another's question."""
    error = error_in(body)
    if error is None:
        return None
    named = f" ({error.code})" if error.code else ""
    return Problem(
        code=RefusalCode.UPSTREAM.value,
        message=f"the model gave an error{named} in place of an answer: ask again later",
    )


def server_answered(status: int, error: ModelError | None = None, *, pause_s: float = 0) -> str:
    """How a problem begins that tells of a server's status, of an error in its body, and of the pause it asks for."""
    named = "" if error is None else " ".join([" with an error", *([error.code] if error.code else [])])
    pause = f", and asks for a pause of {math.ceil(pause_s)} s" if pause_s > 0 else ""
    return f"the server answered {status}{named}{pause}"


def server_silent(timeout_ms: int) -> str:
    """The problem that tells of a server which took longer than it may."""
    return f"{_SILENT} {timeout_ms} ms"


class ServerAnswered(NamedTuple):
    """What a problem tells of a server."""

    status: int
    """That of the error in its body, where one is there and its code says one; 504 for no answer in time."""
    pause_s: int
    """The pause that it asks for, 0 for none."""


def server_answer_in(message: str) -> ServerAnswered | None:
    """What the message of a problem tells of a server, None for a problem of another kind."""
    if message.startswith(_SILENT):
        return ServerAnswered(504, 0)
    found = _ANSWERED.match(message)
    if found is None:
        return None
    status, code, pause = found.groups()
    return ServerAnswered(_status_of(code) or int(status), int(pause or 0))


def is_transient_status(status: int) -> bool:
    """Whether a response with this HTTP status is worth another try."""
    return status in TRANSIENT or status >= 500


def is_status(code: str) -> bool:
    """Whether a code is an HTTP status of an error."""
    return code.isascii() and code.isdigit() and 400 <= int(code[:4]) <= 599


def _status_of(code: str | None) -> int | None:
    """The HTTP status that a code says, as a number or in words."""
    if code is None:
        return None
    return int(code) if is_status(code) else STATUS_OF_WORDS.get(code)


def _errors(body: Mapping[str, Any]) -> Iterator[ModelError]:
    if _is_error(body.get("error")):
        yield _error(body["error"])
    if body.get("object") == "error":
        yield _error(body)
    choices = body.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and (_is_error(choice.get("error")) or choice.get("finish_reason") == "error"):
            yield _error(choice.get("error"))


def _is_error(value: object) -> bool:
    """Whether the field says that there is one: many servers write `null` or an empty text where there is none."""
    return isinstance(value, dict) or bool(value)


def _error(value: object) -> ModelError:
    if isinstance(value, str):
        return ModelError((), value)
    if not isinstance(value, Mapping):
        return ModelError(_codes([value]), "")
    message = value.get("message")
    return ModelError(_codes([value.get(name) for name in _CODE_FIELDS]), message if isinstance(message, str) else "")


def _codes(values: list[object]) -> tuple[str, ...]:
    words = [str(value).lower() for value in values if isinstance(value, str | int) and not isinstance(value, bool)]
    return tuple(word for word in words if _CODE.fullmatch(word) and _CREDENTIALS.strike(word) == word)
