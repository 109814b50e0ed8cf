"""The vectors of a batch: made in one call, and of some questions not at all, where the model is late or away."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from refrain.streams.classify.pace import Pace
from refrain.streams.classify.pending import PendingRequest, Taken, category_of, texts_of
from refrain.streams.classify.text_sides import TextSides
from refrain.streams.errors import ModelUnavailable
from refrain.streams.models.embedding_cache import Embedded, EmbeddingCache

T = TypeVar("T")

MODEL_PAUSE_S = 5.0
"""How long a model that did not answer is not asked again: each try may take long, and everybody waits for it."""
NEVER_AWAY = float("-inf")

logger = logging.getLogger(__name__)


class BatchVectors:
    """Makes the vectors of batches, as `pace` and the model allow. `clock` (seconds) tells what embedding costs."""

    def __init__(self, cache: EmbeddingCache, text_sides: TextSides, pace: Pace, clock: Callable[[], float]) -> None:
        self._cache = cache
        self._text_sides = text_sides
        self._pace = pace
        self._clock = clock
        self._model_asked_again_s = NEVER_AWAY

    def make(self, taken: list[Taken], new: Collection[str]) -> tuple[list[Taken], Embedded]:
        """The vectors of the texts. While the model is away, only of those not `new`; the others pass by the cache."""
        if not new:
            return taken, self._embedded(taken)
        embedded = self.unless_away(lambda: self._embedded(taken))
        if embedded is not None:
            return taken, embedded
        without = [self._without(item, new) if isinstance(item, PendingRequest) else item for item in taken]
        return without, self._embedded(without)

    def unless_away(self, ask: Callable[[], T]) -> T | None:
        """What the model gives; None while it is away, and for a while after it did not answer it is not asked."""
        if self._clock() < self._model_asked_again_s:
            return None
        was_away = self._model_asked_again_s > NEVER_AWAY
        try:
            found = ask()
        except ModelUnavailable as away:
            self._model_asked_again_s = self._clock() + MODEL_PAUSE_S
            if not was_away:
                logger.warning("questions whose vectors are not remembered pass by the cache: %s", away)
            return None
        self._model_asked_again_s = NEVER_AWAY
        if was_away:
            logger.info("the embedding model answers again")
        return found

    def spare(self, taken: list[Taken]) -> tuple[list[Taken], set[str]]:
        """The requests, late ones without a vector where their text is new; and the new texts that are left."""
        new = {text for text in texts_of(taken) if text not in self._cache}
        asking = [
            (item.record, item.request.tenant)
            for item in taken
            if isinstance(item, PendingRequest) and item.text in new
        ]
        passing = self._pace.passing(asking)
        if not passing:
            return taken, new
        left = [
            self._without(item, new)
            if isinstance(item, PendingRequest) and (item.record.partition, item.record.offset) in passing
            else item
            for item in taken
        ]
        return left, new.intersection(texts_of(left))

    def _without(self, item: PendingRequest, new: Collection[str]) -> PendingRequest:
        """The request without a vector, for an exact match at best, where its text is `new`."""
        if item.text not in new:
            return item
        self._pace.passed_by()
        return item._replace(overload=True)

    def _embedded(self, taken: Sequence[Taken]) -> Embedded:
        """Vectors of the texts, and token vectors of new ones where a trained head may read one of them."""
        items = [item for item in taken if isinstance(item, PendingRequest) and item.text is not None]
        with_tokens = any(self._text_sides.may_read(category_of(item)) for item in items)
        return self._cache.embed(texts_of(items), with_tokens=with_tokens)
