"""A request while it is classified: what is known of it, and what it still waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from refrain.schemas.base import Reply
from refrain.schemas.policy import CategoryPolicy
from refrain.schemas.requests import Request
from refrain.streams.classify.framing import FramedQuestion
from refrain.streams.classify.routing import CategoryMatch
from refrain.streams.classify.text_sides import Wanted
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.questions import Question
from refrain.streams.vectors import Ints


class PendingRequest(NamedTuple):
    """A request that waits for the vector of its text."""

    record: Record
    parsed: dict[str, Any]
    """The JSON of the record: it is parsed once."""
    request: Request
    reply: Reply
    question: Question
    match: CategoryMatch | None
    """None until the vector tells the category."""
    framed: FramedQuestion | None
    """What the embedder sees of the text, None when no vector is needed."""
    vector: Ints | None = None
    """Known with the category; None where only an exact match may serve."""
    side: Wanted | None = None
    """What the trained head of the category is to read."""
    overload: bool = False
    """Whether its vector cannot be made in time."""

    @property
    def text(self) -> str | None:
        """The text to embed."""
        return None if self.framed is None or self.overload else self.framed.head


Taken = PendingRequest | list[Outgoing]


def texts_of(taken: Sequence[Taken]) -> list[str]:
    """The texts to embed."""
    return [item.text for item in taken if isinstance(item, PendingRequest) and item.text is not None]


def category_of(item: PendingRequest) -> CategoryPolicy | None:
    """The category of a request, None while only its vector tells it."""
    return None if item.match is None or item.match.terms is None else item.match.terms.policy


def known_category(item: Taken) -> str | None:
    """The category that the policy defines for a request, None where it has none or passes by the cache."""
    match = item.match if isinstance(item, PendingRequest) else None
    return None if match is None or match.terms is None else match.category
