"""`doubts`: verification requests, pairs of questions for the verifier. Its score is `Verified` in the journal."""

from __future__ import annotations

from refrain.schemas.base import Message, Millis, Sealed


class DoubtRaised(Message):
    """Does `question` ask the same as `cached`?"""

    id: str
    """The decision that waits for it."""
    partition: int
    """The shard that asks: where `Verified` goes."""
    incarnation: str
    """The journal's topic id."""
    category: str
    entry: int
    question: Sealed
    """The text that was asked."""
    cached: Sealed
    """The text whose answer would serve it."""
    deadline_at_ms: Millis
    """When nobody waits for the opinion any more."""
