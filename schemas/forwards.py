"""`forwards` and `completions`: questions forwarded to a model, and its answers or errors.

A connector copies `forward_id` and `route` from the one into the other and needs to know neither.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, model_validator

from refrain.schemas.base import Message, Millis
from refrain.schemas.progress import ProgressPlace
from refrain.schemas.responses import Problem


class Forward(Message):
    """A question for a model. The record's key is `forward_id`."""

    forward_id: Annotated[str, Field(min_length=1, max_length=128)]
    """What tells it from others: the completion copies it, and the record's key is it."""
    model: str
    body: dict[str, Any]
    """The request's body, with `stream` and `stream_options` taken out."""
    deadline_at_ms: Millis
    """After this moment nobody waits: a connector must not call the model any more."""
    progress: ProgressPlace | None = None
    """Where pieces of the answer are told as the model makes them; None: nobody wants them."""
    route: str
    """Opaque: says where the completion belongs. The last field: it is signed where the forward is sent."""


class Status(StrEnum):
    """Whether the model answered."""

    OK = "ok"
    FAILED = "failed"


class Completion(Message):
    """A model's answer (`body`) or the reason why there is none (`error`)."""

    forward_id: Annotated[str, Field(min_length=1, max_length=128)]
    """The forward's."""
    route: str
    """The forward's, unchanged."""
    status: Status
    """Whether the model answered."""
    body: dict[str, Any] | None = None
    """The whole `chat.completion` object, where the status is `ok`."""
    error: Problem | None = None
    """Why there is none, where the status is `failed`."""
    latency_ms: Millis = 0

    @model_validator(mode="after")
    def _whole(self) -> Completion:
        if self.status is Status.OK and self.body is None:
            raise ValueError("a completion with status ok needs a body")
        if self.status is Status.FAILED and self.error is None:
            raise ValueError("a completion with status failed needs an error")
        return self
