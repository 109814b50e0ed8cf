"""`progress`: what is known of a request before its response, for those who ask to be told."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from refrain.schemas.base import Message, Part
from refrain.schemas.responses import DecisionSummary, Outcome

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"


class ProgressPlace(Part):
    """Where a requester hears of its request before the response: a partition of `progress`, and an id of its own."""

    partition: Annotated[int, Field(ge=0, le=1_000_000)]
    """Of `progress`."""
    id: Annotated[str, Field(pattern=ID_PATTERN)]
    """What its records carry in the header `refrain-progress-id`."""


class Progress(Message):
    """How a request was decided that waits for a model, or a piece of the model's answer. Nothing relies on it.

    A record carries the requester's id in the header `refrain-progress-id`.
    """

    outcome: Outcome | None = None
    """`miss`, `coalesced` or `bypass`, with `decision`: what the response will say, if the model answers."""
    decision: DecisionSummary | None = None
    """With `outcome`: as the response will have it."""
    attempt: Annotated[int, Field(ge=1)] = 1
    """Which try of the connector a piece is from, by a number of its own: another try begins the answer anew."""
    chunk: dict[str, Any] | None = None
    """A chat.completion.chunk as the model's server sent it."""

    @model_validator(mode="after")
    def _tells_something(self) -> Progress:
        if (self.outcome is None) == (self.chunk is None):
            raise ValueError("it tells either how the request was decided (outcome) or a piece of the answer (chunk)")
        return self
