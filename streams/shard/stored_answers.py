"""Stored answers: the part of an entry that a hit needs, and those that a shard remembers."""

from __future__ import annotations

import json
from typing import NamedTuple

from refrain.schemas.base import Part, Sealed, TextSide
from refrain.streams.lru import LruCache
from refrain.streams.messaging.responses import digest_of_answer

REMEMBERED = 64
"""Answers that a shard remembers, those of late: what is asked again and again is read once."""
CHARS_REMEMBERED = 4_000
"""Characters of an answer and its question; of those that have more no more than one is remembered."""


class _Answer(Part):
    """The part of an entry that a hit needs: the rest is not worth building."""

    tenant: str
    question: Sealed
    text_side: TextSide | None = None
    answer: Sealed
    answer_digest: str = ""
    latency_ms: int = 0
    tokens: int = 0


class StoredAnswer(NamedTuple):
    """Stored answer: who asked for it, its question, its JSON, its digest, and what the model took for it."""

    tenant: str
    question: str
    text_side: TextSide | None
    text: str
    digest: str
    latency_ms: int
    tokens: int

    @classmethod
    def of(cls, entry: bytes) -> StoredAnswer:
        """The stored answer in the record of an entry. Raises ValueError for another record."""
        part = _Answer.model_validate_json(entry)
        digest = part.answer_digest or stored_digest(part.answer)
        return cls(
            part.tenant, part.question.data, part.text_side, part.answer.data, digest, part.latency_ms, part.tokens
        )


class AnswerCache:
    """LRU cache of stored answers, by the numbers of their entries, which are never used again."""

    def __init__(self) -> None:
        self._small: LruCache[int, StoredAnswer] = LruCache(REMEMBERED)
        self._large: tuple[int, StoredAnswer] | None = None
        """The last one that is too large to be among them: guarded first, it is served next."""

    def get(self, number: int) -> StoredAnswer | None:
        """The stored answer of an entry, None where it is not remembered."""
        known = self._small.get(number)
        if known is None and self._large is not None and self._large[0] == number:
            return self._large[1]
        return known

    def put(self, number: int, answer: StoredAnswer) -> None:
        """Remember the stored answer of an entry."""
        if len(answer.text) + len(answer.question) > CHARS_REMEMBERED:
            self._large = number, answer
        else:
            self._small.put(number, answer)


def stored_digest(answer: Sealed) -> str:
    """Answer digest of an entry that was stored without one: judgements by answer need it."""
    return digest_of_answer(json.loads(answer.data))
