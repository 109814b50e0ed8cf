"""The changelog `documents` of a shard: read into a store, and where its last commit ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from refrain.schemas.documents import Meta, Skip
from refrain.streams.errors import ChangelogDamaged, WrongSetup
from refrain.streams.kafka.interface import Cluster
from refrain.streams.messaging.shards import repartitioned
from refrain.streams.shard.columns import META_KEY, SKIPS
from refrain.streams.shard.loading import read_meta
from refrain.streams.shard.skips import first_of
from refrain.streams.store.interface import Checkpoint, Store

BATCH_BYTES = 8_000_000
TOMBSTONE_SHARE = 0.9
"""What was written is too old when this share of the time that deletions are kept has passed."""
BEGAN_EMPTY = "empty"
"""Why what was asked before a shard began empty is skipped. Its row is written by the commit that deletes all else."""
TAIL = 256
"""Records behind which the last commit of a partition is sought first."""


def replay_changelog(
    cluster: Cluster,
    partition: int,
    store: Store,
    now_ms: Callable[[], int],
    stop: Callable[[], bool],
    to_offset: int | None = None,
) -> int:
    """Replay the changelog from the store's checkpoint into the store, up to `to_offset` (else all). Returns how much.

    Ends early when `stop` says so. Raises ChangelogDamaged where a batch cannot be read: a state of which a part is
    missing is another one. One that stands before the shard began empty is passed over: all before that is deleted.
    """
    changes: dict[bytes, bytes | None] = {}
    size = count = 0
    next_offset = store.checkpoint().next_offset
    emptied_at: int | None = None
    for record in cluster.scan("documents", partition, next_offset, stop=stop):
        if to_offset is not None and record.offset >= to_offset:
            break
        if record.flaw is not None:
            if emptied_at is None:
                emptied_at = _emptied_at(cluster, partition, stop)
            if record.offset < emptied_at:
                continue
            raise ChangelogDamaged(f"documents[{partition}]: {record.flaw}", record.offset)
        if record.key is None:
            continue
        changes[record.key] = record.value
        size += len(record.key) + len(record.value or b"")
        count += 1
        next_offset = record.offset + 1
        if size > BATCH_BYTES:
            store.write(changes, Checkpoint(next_offset, now_ms()))
            changes, size = {}, 0
    if changes:
        store.write(changes, Checkpoint(next_offset, now_ms()))
    return count


def _emptied_at(cluster: Cluster, partition: int, stop: Callable[[], bool]) -> int:
    """Where in `documents` the shard was last told to have begun empty; -1 where it never was."""
    rows = skips_written(cluster, partition, stop)
    return max((row.offset for row in rows if row.skip.why == BEGAN_EMPTY), default=-1)


class SkipWritten(NamedTuple):
    """A skip as it was written to `documents`."""

    offset: int
    """Of its row in `documents`."""
    first: int
    """The first journal offset that is skipped."""
    skip: Skip


def skips_written(cluster: Cluster, partition: int, stop: Callable[[], bool]) -> Iterator[SkipWritten]:
    """Every skip of a shard in `documents`, in the order of their rows; those that cannot be read are left out."""
    prefix = SKIPS.key("")
    for record in cluster.scan("documents", partition, stop=stop):
        if record.key is not None and record.key.startswith(prefix) and record.value is not None:
            try:
                first, skip = first_of(record.key[len(prefix) :].decode()), Skip.decode(record.value)
            except ValueError:
                # As good as not there: the restore says that it is damaged.
                continue
            yield SkipWritten(record.offset, first, skip)


class LastCommit(NamedTuple):
    """The last commit of a shard in `documents`."""

    end: int
    """The offset behind it. What stands there may be the beginning of a transaction."""
    meta: bytes

    @property
    def progress(self) -> Meta:
        """The decoded `meta` of the commit."""
        return Meta.decode(self.meta)


def last_commit(cluster: Cluster, partition: int) -> LastCommit | None:
    """The last commit of a shard in `documents`, sought from the end; None before the first."""
    first, end = cluster.ends("documents")[partition]
    reach = TAIL
    while end > first:
        start, last = max(first, end - reach), None
        for record in cluster.scan("documents", partition, start):
            if record.key == META_KEY and record.value is not None:
                last = LastCommit(record.offset + 1, record.value)
        if last is not None or start == first:
            return last
        reach *= 8
    return None


def check_incarnation(store: Store, partition: int, shards: int, incarnation: str) -> Meta | None:
    """The shard's progress, None for an empty store. Raises WrongSetup when `documents` is of another journal."""
    found = store.get(META_KEY)
    if found is None:
        return None
    meta = read_meta(found)
    if meta.incarnation != incarnation or meta.partition != partition:
        raise WrongSetup(
            f"documents[{partition}] belongs to another journal than the one that is there:"
            " recreate `documents` too, or put the journal back"
        )
    if meta.shards != shards:
        raise WrongSetup(repartitioned(shards, meta.shards))
    return meta
