"""The last commit of a shard: how far it has folded its journal, and which journal that was."""

from __future__ import annotations

from pydantic import ValidationError

from refrain.schemas.documents import Meta
from refrain.streams.kafka.interface import Cluster
from refrain.streams.shard.columns import META_KEY
from refrain.streams.snapshots.changelog import last_commit


def last_meta(cluster: Cluster, partition: int) -> Meta | None:
    """What the shard's last commit that can be read says of itself; None before the first."""
    found = last_commit(cluster, partition)
    if found is None:
        return None
    return meta_of(found.meta) or _last_readable(cluster, partition)


def meta_of(value: bytes | None) -> Meta | None:
    """What the record of a commit says; None where it cannot be read."""
    try:
        return Meta.decode(value or b"")
    except ValidationError:
        return None


def _last_readable(cluster: Cluster, partition: int) -> Meta | None:
    """The last commit that can be read, where the last one was damaged: all of them are looked at."""
    last = None
    for record in cluster.scan("documents", partition):
        if record.key == META_KEY:
            last = meta_of(record.value) or last
    return last


def committed_offset(cluster: Cluster, partition: int) -> int:
    """The journal offset up to which the shard has committed; 0 before its first commit."""
    meta = last_meta(cluster, partition)
    return 0 if meta is None else meta.next_offset


def journal_id(cluster: Cluster, meta: Meta | None) -> str:
    """The topic id of the journal that a shard folded, by its last commit; else that of the journal that is there.

    They are two where the journal is a copy, made by a replay: ids of decisions and entries name the recorded one.
    """
    return cluster.topic_id("journal") if meta is None else meta.incarnation


def recorded_journal_id(cluster: Cluster) -> str:
    """The topic id of the journal that the shards folded, by the first of them that has committed."""
    metas = (last_meta(cluster, partition) for partition in cluster.ends("documents"))
    return journal_id(cluster, next((meta for meta in metas if meta is not None), None))
