"""What was made of requests before and may be written, so that a request which is made again has one outcome.

What was not acknowledged in time may be written all the same: a broker that stood still takes what lies in its
buffers. And what was acknowledged is read again after a lost partition. By then another policy may be in force or none
may be known, or the wait for a vector may be over. A shard knows repeats by itself, but not those of another shard, and
nobody calls a forward back. So

- a request that may have been forwarded past the cache passes by again, for the same reason;
- one that a shard may have been asked goes to that shard again; where it would go elsewhere, or is to pass by, that
  shard is told that it does.

- one that a shard was asked, as the journal says, is left to that shard.

What another worker attempted is recalled from the journal (`refrain.streams.classify.recollection`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from refrain.schemas.decisions import Reason
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.partitioner import partition_of
from refrain.streams.lru import LruCache

JOURNAL = "journal"
REQUESTS_MAX = 100_000
"""Requests that are remembered: those whose offsets are not committed yet, a tenth of a second's as a rule."""
KEYS_MAX = 10_000
"""Keys whose partition is remembered."""


class Passage(NamedTuple):
    """How a request passed by the cache."""

    reason: Reason
    category: str | None
    policy_version: int | None


class Attempt(NamedTuple):
    """What was made of a request: for which shard, and how it passed by (None: the shard was asked)."""

    shard: int
    passage: Passage | None
    written: bool = False
    """Whether the journal is known to have it."""


class Attempts:
    """What one worker made of each request that it sent, until the offset of the request is committed."""

    def __init__(self, shards: int) -> None:
        """`shards` is the number of partitions of `journal`."""
        self._shards = shards
        self._of_keys: LruCache[bytes, int] = LruCache(KEYS_MAX)
        self._made: dict[tuple[int, int], Attempt] = {}
        self._sent: dict[tuple[int, int], Attempt] = {}

    def begin(self) -> None:
        """Begin a batch: what was made before and not sent is forgotten."""
        self._made.clear()

    def passage(self, record: Record) -> Passage | None:
        """How the request passed by when it was made before; None where it did not."""
        before = self._sent.get((record.partition, record.offset))
        return None if before is None else before.passage

    def asked(self, record: Record) -> bool:
        """Whether a shard may have been asked the request."""
        before = self._sent.get((record.partition, record.offset))
        return before is not None and before.passage is None

    def left_to_shard(self, record: Record) -> bool:
        """Whether a shard has been asked the request, and decides it: nothing more is to be made of it."""
        before = self._sent.get((record.partition, record.offset))
        return before is not None and before.written

    def recall(self, found: Mapping[tuple[int, int], Attempt]) -> None:
        """Know what another worker made of requests, by partition and offset."""
        self._sent.update(found)

    def elsewhere(self, record: Record, key: bytes) -> int | None:
        """The shard that the request went to before, where it is another one than that of the key; else None."""
        before = self._sent.get((record.partition, record.offset))
        return None if before is None or before.shard == self._shard_of(key) else before.shard

    def make(self, record: Record, outgoing: Outgoing, passage: Passage | None) -> Outgoing:
        """Note a journal record made of a request; returns it, addressed to the shard that the request went to."""
        key = outgoing.key or b""
        elsewhere = self.elsewhere(record, key)
        shard = self._shard_of(key) if elsewhere is None else elsewhere
        self._made[record.partition, record.offset] = Attempt(shard, passage)
        return outgoing if elsewhere is None else outgoing._replace(partition=elsewhere)

    def addressed(self, out: Sequence[Outgoing]) -> list[Outgoing]:
        """The records of a batch, where one is addressed all of `journal`: a partition gets them in one order."""
        if not any(record.topic == JOURNAL and record.partition is not None for record in out):
            return list(out)
        return [
            record._replace(partition=self._shard_of(record.key or b""))
            if record.topic == JOURNAL and record.partition is None
            else record
            for record in out
        ]

    def sending(self) -> None:
        """What was made since `begin` is about to be sent: from now on it may be written."""
        self._sent.update(self._made)
        while len(self._sent) > REQUESTS_MAX:
            del self._sent[next(iter(self._sent))]

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Forget requests below these offsets, by partition: nobody reads them again."""
        self._sent = {
            place: attempt for place, attempt in self._sent.items() if place[1] >= offsets.get(place[0], place[1])
        }

    def _shard_of(self, key: bytes) -> int:
        found = self._of_keys.get(key)
        if found is None:
            found = partition_of(key, self._shards)
            self._of_keys.put(key, found)
        return found
