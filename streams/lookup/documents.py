"""Which `documents` holds the state of each shard: one that is deleted and made anew holds nothing of it.

A running worker has the state in its stores, and writes it again, part by part with its commits. What the group's
committed offsets say beside themselves is the id of the topic that has all of a shard: nobody takes a part for the
whole, whenever the worker ends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, MutableMapping

from refrain.streams.errors import ChangelogLost, ClusterFailed, StoreDamaged, StoreUnusable, WrongSetup
from refrain.streams.kafka.interface import Cluster
from refrain.streams.kafka.outages import asked_once
from refrain.streams.shard.columns import META_KEY
from refrain.streams.shard.state import Shard

TOPIC = "documents"
LOOK_EVERY_S = 2.0
PART_BYTES = 8_000_000
"""Of the state of a shard, written again with one commit."""

logger = logging.getLogger(__name__)


class Documents:
    """Which `documents` each shard of a worker is in. `clock` gives seconds."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._clock = clock
        self._there = cluster.topic_id(TOPIC)
        self._looked_s = clock()
        self._restored: dict[int, str] = {}
        """By partition: the topic that its shard was restored from."""
        self._holds: dict[int, str] = {}
        """By partition: the topic that has all of its state; absent where nobody knows."""
        self._left: dict[int, tuple[str, list[bytes]]] = {}
        """By partition: the topic that it is written to again, and the keys that are to come."""

    def of(self, partition: int) -> str:
        """The id of the topic that has all of a shard's state; empty where nobody knows."""
        return self._holds.get(partition, "")

    def assigned(self, partition: int, committed: str) -> None:
        """A partition has come, of which this was committed: an id, or nothing by a worker that did not tell it."""
        self._holds[partition] = committed
        self._left.pop(partition, None)

    def check(self, partition: int, *, empty: bool) -> None:
        """Check, before a shard is restored, that the topic that is there has its state; one that begins `empty` needs
        none. Raises ChangelogLost.
        """
        there, held = self._cluster.topic_id(TOPIC), self.of(partition)
        if held not in ("", there) and not empty:
            raise ChangelogLost(f"{TOPIC} was deleted and made anew: what shard {partition} kept is not in it")
        self._restored[partition] = there

    def restored(self, partition: int) -> None:
        """A shard was restored, and is committed from now on."""
        self._holds[partition] = self._restored.get(partition, "")

    def look(self) -> None:
        """Look now and then which topic is there; nobody waits for an answer that does not come."""
        if self._clock() - self._looked_s < LOOK_EVERY_S:
            return
        self._looked_s = self._clock()
        try:
            self._there = asked_once(self._cluster).topic_id(TOPIC)
        except (ClusterFailed, WrongSetup) as problem:
            logger.debug("which topic %s is there is not known: %s", TOPIC, problem)

    def is_behind(self, shards: Iterable[int]) -> bool:
        """Whether a shard is to be written again, as far as is known."""
        return any(self.of(each) not in ("", self._there) for each in shards)

    def write_again(
        self, shards: Mapping[int, Shard], failed: MutableMapping[int, StoreDamaged | StoreUnusable]
    ) -> set[int]:
        """Add a part of the state of a shard to its changes where the topic that is there does not have it.

        Which shard it was of, if any; it is to be committed. One whose store cannot be read is `failed`. Call it while
        no commit is under way.
        """
        partition = next((each for each in shards if self.is_behind([each])), None)
        if partition is None:
            return set()
        try:
            self._write_again(partition, shards[partition])
        except (StoreDamaged, StoreUnusable) as failure:
            failed[partition] = failure
            return set()
        return {partition}

    def _write_again(self, partition: int, shard: Shard) -> None:
        to, keys = self._left.get(partition, ("", []))
        if to != self._there:
            logger.warning("%s was deleted and made anew: shard %d is written to it again", TOPIC, partition)
            to, keys = self._there, [key for key, _ in shard.store.scan() if key != META_KEY]
        size = 0
        while keys and size < PART_BYTES:
            key = keys.pop()
            value = shard.store.get(key)
            # What is gone since, or changed, is told by the commit anyway.
            if value is not None and shard.overlay.write_again(key, value):
                size += len(key) + len(value)
        if keys:
            self._left[partition] = to, keys
        else:
            self._left.pop(partition, None)
            self._holds[partition] = to
            logger.warning("shard %d is whole in %s with this commit", partition, TOPIC)
