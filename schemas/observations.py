"""`observations`: answers that the cache would have served, beside the model's; `comparisons`: their similarity."""

from __future__ import annotations

from enum import StrEnum

from refrain.schemas.base import Message, Micros, Millis, Sealed


class NotCompared(StrEnum):
    """Why two answers have no similarity: a closed list."""

    GONE = "gone"
    """The cached one had left the cache."""
    NO_TEXT = "no_text"
    """One of them says nothing that could be compared."""
    TOO_LONG = "too_long"
    """One of them is longer than is recorded or embedded: a part of it would not speak for the whole."""
    NO_VECTOR = "no_vector"
    """The embedder has no vector for one of them."""


class ObservedRequest(Message):
    """A request that was observed, and the entry that would have answered it."""

    decision_id: str
    tenant: str
    category: str
    model: str
    entry_id: str
    """The entry that would have been served."""
    time_ms: Millis
    equal: bool
    """Whether both answers are the same, byte for byte."""


class Observation(ObservedRequest):
    """A request was observed: what the cache would have served, and what the model said."""

    cached: Sealed | None
    """The projection of the cached answer, as JSON; None when it has left the cache meanwhile, or is equal."""
    answered: Sealed | None
    """The projection of the model's answer; None when it is too long for a record, or equal."""


class Comparison(ObservedRequest):
    """How the answer that would have been served compares with the model's. No text."""

    similarity: Micros | None = None
    """Cosine similarity of the two answers by the embedder, 1 for equal ones; None: `not_compared` says why."""
    not_compared: NotCompared | None = None
    """Why there is no similarity."""
    embedder: str | None = None
    """Identity of the embedder that compared them; None where none was needed."""
