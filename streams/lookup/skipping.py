"""Has a shard skip records that it cannot fold: cut from the journal, passed while it was stopped, or set aside."""

from __future__ import annotations

from refrain.schemas.documents import Skip
from refrain.schemas.stats import StopReason
from refrain.streams.errors import RefusalCode
from refrain.streams.kafka.interface import Cluster
from refrain.streams.runtime.progress import Progress
from refrain.streams.shard.columns import SKIPS
from refrain.streams.shard.fold import readable
from refrain.streams.shard.skips import Skips, skip_id
from refrain.streams.shard.state import Shard


def skip_cut(shard: Shard, first: int) -> None:
    """Skip the records that are gone: the shard goes on at `first`, the journal's first offset."""
    gone = Skip(to_offset=first, what="records", why=StopReason.JOURNAL_CUT.value)
    shard.apply([SKIPS.put(skip_id(shard.next_offset, "records"), gone)])
    shard.next_offset = first


def skip_passed(shard: Shard, passed: Skips) -> None:
    """Skip what was passed while the shard was stopped."""
    known = {(first, skip.what): skip for first, skip in shard.skips.rows()}
    news = [(at, skip) for at, skip in passed.rows() if known.get((at, skip.what)) != skip]
    shard.apply([SKIPS.put(skip_id(at, skip.what), skip) for at, skip in news])


def skip_set_aside(shard: Shard, progress: Progress, cluster: Cluster) -> None:
    """Skip the records that have ended their worker twice."""
    for offset in progress.set_aside(shard.partition):
        if offset >= shard.next_offset and shard.skips.of(offset) != "records":
            tells = _may_be_read(shard.partition, offset, progress, cluster)
            aside = Skip(to_offset=offset + 1, what="records", why=RefusalCode.QUARANTINED.value, tells=tells)
            shard.apply([SKIPS.put(skip_id(offset, "records"), aside)])


def _may_be_read(partition: int, offset: int, progress: Progress, cluster: Cluster) -> bool:
    """Read a record that is set aside once; whether it was read without harm, so that every fold may read it."""
    reader = cluster.reader("journal")
    try:
        found = [each for each in reader.read(partition, offset, 1) if each.offset == offset]
    finally:
        reader.close()
    if not found:
        return False
    with progress.telling(found[0]) as may_be_read:
        return may_be_read and readable(found[0]) is not None
