"""A shard of an alternative: the one fold, over records that are numbered anew."""

from __future__ import annotations

import itertools
from collections.abc import Collection

from refrain.ops.audit.refold import PartitionFold
from refrain.ops.whatif.recorded import COMMIT_RECORDS
from refrain.schemas.journal import Answered, Asked, Event, Origin, Passed
from refrain.streams.kafka.interface import Record
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.stats import CONTROL


class AlternativeShard:
    """A shard of an alternative, with numbers of its own for its records."""

    def __init__(self, number: int, shards: int, incarnation: str) -> None:
        self.number = number
        self.fold = PartitionFold(number, shards, incarnation)
        self.sources: dict[int, str] = {}
        """By the number of an answer: the forward that it was to."""
        self.in_force = False
        """Whether the alternative's policy is."""
        self._next = itertools.count()
        self._asked = itertools.count()

    def take(self, event: Event, time_ms: int) -> FoldResult:
        """Fold an event as the next record of the shard."""
        if isinstance(event, Asked | Passed):
            # Repeats were told apart by their places in the recorded journal; here questions of several partitions
            # may come in another order than they stood in `requests`.
            place = Origin(topic="requests", topic_id="", partition=0, offset=next(self._asked))
            event = event.model_copy(update={"origin": place})
        number = next(self._next)
        if isinstance(event, Answered):
            self.sources[number] = event.forward_id
        # Made here: there are no bytes to be read.
        result = self.fold.fold(Record("journal", self.number, number, time_ms, None, None), event=event)
        if number % COMMIT_RECORDS == COMMIT_RECORDS - 1:
            self.fold.commit()
        return result

    def next_version(self) -> int:
        """The version of the next command that it takes."""
        return self.fold.shard.highwater.get(CONTROL, -1) + 1

    def models(self) -> Collection[str]:
        """The models that the policy in force names."""
        policy = self.fold.shard.policy
        return () if policy is None else policy.policy.models

    def entry_of(self, forward_id: str) -> int | None:
        """The number of the entry that a forward brought, None where there is none."""
        shard = self.fold.shard
        alike = shard.entries.brought_by(forward_id)
        return next((each.id for each in alike if self.sources.get(each.id) == forward_id), None)
