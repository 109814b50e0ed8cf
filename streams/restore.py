"""Bringing a shard back: the local store as far as it reaches, then `documents`, then the indexes."""

from __future__ import annotations

import logging
from collections.abc import Callable

from schemas.documents import Meta
from streams.errors import StoreDamaged, WrongSetup
from streams.log import Log
from streams.shard.columns import META_KEY
from streams.shard.state import Shard, restored
from streams.store import Reach, Store

logger = logging.getLogger(__name__)

BATCH_BYTES = 8_000_000
TOMBSTONE_SHARE = 0.9
"""A store is too old when this share of the time that deletions are kept has passed."""


def restore(
    log: Log,
    partition: int,
    incarnation: str,
    store: Store,
    now_ms: Callable[[], int],
    stop: Callable[[], bool],
    threads: int = 1,
) -> Shard:
    """The shard as of the last commit of whoever held it before. Ends early, unusable, when `stop` says so.

    A store that cannot be read, or is older than the deletions that `documents` still keeps, is wiped and
    filled from the start. Raises WrongSetup when `documents` belongs to another journal.
    """
    why = too_old(log, partition, store, now_ms())
    if why:
        logger.warning("shard %d: local store is deleted and restored: %s", partition, why)
        store.wipe()
    catch_up(log, partition, store, now_ms, stop)
    shards = log.partitions("journal")
    try:
        _check_incarnation(store, partition, shards, incarnation)
        return restored(partition, shards, incarnation, store, threads)
    except StoreDamaged as damage:
        logger.warning("shard %d: local store is deleted and restored: %s", partition, damage)
        store.wipe()
        catch_up(log, partition, store, now_ms, stop)
        _check_incarnation(store, partition, shards, incarnation)
        return restored(partition, shards, incarnation, store, threads)


def too_old(log: Log, partition: int, store: Store, now_ms: int) -> str | None:
    """Why the store cannot be caught up with, None when it can."""
    reach = store.reach()
    if reach.next_offset == 0:
        return None
    _, end = log.ends("documents")[partition]
    if reach.next_offset > end:
        return f"it reaches {reach.next_offset}, the topic ends at {end}"
    age_ms = now_ms - reach.written_at_ms
    if age_ms > TOMBSTONE_SHARE * log.tombstones_ms("documents"):
        return f"it was written {age_ms} ms ago, and deletions since may be gone from the topic"
    return None


def catch_up(log: Log, partition: int, store: Store, now_ms: Callable[[], int], stop: Callable[[], bool]) -> None:
    """Write what `documents` holds beyond the store into it."""
    changes: dict[bytes, bytes | None] = {}
    size = 0
    next_offset = store.reach().next_offset
    for record in log.scan("documents", partition, next_offset, stop=stop):
        if record.key is None:
            continue
        changes[record.key] = record.value
        size += len(record.key) + len(record.value or b"")
        next_offset = record.offset + 1
        if size > BATCH_BYTES:
            store.write(changes, Reach(next_offset, now_ms()))
            changes, size = {}, 0
    if changes:
        store.write(changes, Reach(next_offset, now_ms()))


def _check_incarnation(store: Store, partition: int, shards: int, incarnation: str) -> None:
    found = store.get(META_KEY)
    if found is None:
        return
    meta = Meta.decode(found)
    if meta.incarnation != incarnation or meta.partition != partition:
        raise WrongSetup(
            f"documents[{partition}] belongs to another journal than the one that is there:"
            " recreate `documents` too, or put the journal back"
        )
    if meta.shards != shards:
        raise WrongSetup(
            f"journal has {shards} partitions now and had {meta.shards}: keys would belong to other shards;"
            " recreate `journal` and `documents`"
        )
