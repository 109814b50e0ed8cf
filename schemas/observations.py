"""`observations`: answers that the cache would have given, beside the model's; and `comparisons`, how they compare."""

from __future__ import annotations

from schemas.base import Message, Micros, Millis, Sealed


class Observation(Message):
    """A request was observed: what the cache would have served, and what the model said."""

    decision_id: str
    tenant: str
    category: str
    model: str
    entry_id: str
    time_ms: Millis
    equal: bool
    """Whether both answers are the same, byte for byte."""
    cached: Sealed | None
    """The text of the cached answer; None when it has left the cache meanwhile, or is equal."""
    answered: Sealed | None


class Comparison(Message):
    """How the answer that would have been served compares with the model's. No text."""

    decision_id: str
    tenant: str
    category: str
    model: str
    entry_id: str
    time_ms: Millis
    equal: bool
    similarity: Micros | None = None
    """Cosine similarity of the two answers by the embedder; None when the cached one had left the cache."""
    embedder: str | None = None
