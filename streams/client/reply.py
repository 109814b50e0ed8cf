"""Replies: what a request comes to, a response or a failure to get one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from refrain.streams.errors import RefrainError

if TYPE_CHECKING:
    from refrain.schemas.requests import Request
    from refrain.schemas.responses import DecisionSummary, Outcome, Response


class Failure(StrEnum):
    """Why there is no response; where there is one that holds an error, its code is one of the contract's."""

    NO_RESPONSE = "no_response"
    """None came in time: the request may still be worked, or is gone with its topic where that was made anew."""
    NOT_SENT = "not_sent"
    """The broker did not take the request."""
    NOT_READ = "not_read"
    """What came is no response that this version reads."""
    CLOSED = "closed"
    """The client was closed, or cannot go on."""


WHY_NONE = "is Refrain running? What was asked before the request topic was made anew is lost: ask it again"
"""What there is to look at where no response came."""


class NotAnswered(RefrainError):
    """A request got no answer. `code` is for programs: a `Failure`, or an error code of the contract."""

    def __init__(self, code: str, text: str, response: Response | None = None) -> None:
        """`response` is the one that holds the error, None where none came."""
        super().__init__(text)
        self.code = code
        self.response = response

    def __str__(self) -> str:
        return f"{self.code}: {self.args[0]}"


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply to one request: its response, and how long it took (milliseconds, from when it was sent)."""

    request: Request
    response: Response
    latency_ms: float

    @property
    def outcome(self) -> Outcome:
        """How the request was answered."""
        return self.response.outcome

    @property
    def decision(self) -> DecisionSummary | None:
        """Why it was answered so."""
        return self.response.decision

    @property
    def body(self) -> dict[str, Any]:
        """The chat.completion object, empty where there is none."""
        return self.response.body or {}

    @property
    def text(self) -> str:
        """The text of the first choice, empty where there is none."""
        try:
            content = self.body["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            return ""
        return content if isinstance(content, str) else ""


def answered(reply: Reply) -> Reply:
    """The reply, if it is an answer. Raises NotAnswered with the code of the error that it holds."""
    error = reply.response.error
    if error is not None:
        raise NotAnswered(error.code, error.message, reply.response)
    return reply
