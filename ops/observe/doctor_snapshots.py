"""The doctor's look at snapshots: how old the newest of each shard is, and whether it is behind its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from refrain.ops.observe.findings import Finding
from refrain.ops.terminal import output
from refrain.streams import time_of_day
from refrain.streams.errors import SnapshotUnusable
from refrain.streams.kafka.interface import Span

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings
    from refrain.streams.snapshots.manifest import Manifest, Topics
    from refrain.streams.snapshots.shelf import Shelf

CHECK = "snapshots"
OVERDUE = 2
"""Intervals of the schedule after which what was committed should be in a snapshot."""
NAMED_MAX = 5
LOOKED = 1_000
"""Offsets behind a snapshot among which a committed record is looked for."""
DO = "look for `no snapshot was made` in the logs of lookup; `refrain snapshot` makes them at once"


def snapshots(settings: Settings, cluster: Cluster) -> list[Finding]:
    """Has each shard a snapshot as new as the schedule says?"""
    from refrain.streams.snapshots.shelf import Shelf, location_of

    shelf = Shelf(location_of(settings))
    return look(cluster, shelf, settings.lookup.snapshot_every_ms, time_of_day.now_ms())


def look(cluster: Cluster, shelf: Shelf, every_ms: int, now_ms: int) -> list[Finding]:
    """The finding on the snapshots of a shelf; with an interval of 0 none is overdue. Raises ClusterFailed."""
    from refrain.streams.snapshots.manifest import Topics

    topics = Topics(journal=cluster.topic_id("journal"), documents=cluster.topic_id("documents"))
    try:
        found = {partition: _newest(shelf, partition, topics) for partition in range(cluster.partitions("documents"))}
    except SnapshotUnusable as problem:
        return [Finding(CHECK, "warn", str(problem), "see that the location of snapshots.location can be read")]
    newest = {partition: each for partition, each in found.items() if each is not None}
    if not every_ms:
        return [Finding(CHECK, "ok", _told(newest, shelf, now_ms) if newest else _NONE)]
    behind = _behind(cluster, found, now_ms - OVERDUE * every_ms)
    if not behind:
        return [Finding(CHECK, "ok", _told(newest, shelf, now_ms))]
    named = ", ".join(_named(partition, found[partition], now_ms) for partition in behind[:NAMED_MAX])
    more = f" and {len(behind) - NAMED_MAX} more" if len(behind) > NAMED_MAX else ""
    due = f"made every {output.span(every_ms)}, and what was committed {output.span(OVERDUE * every_ms)} ago is not in"
    where = f"in {shelf.location.name}" + (" of this machine" if shelf.location.is_local else "")
    return [Finding(CHECK, "warn", f"they should be {due} the newest of {named}{more}, {where}", DO)]


_NONE = "none are made by schedule (lookup.snapshot_every_ms is 0): a lost store is restored from `documents` alone"


def _newest(shelf: Shelf, partition: int, topics: Topics) -> Manifest | None:
    """The manifest of a shard's newest snapshot of these topics."""
    for name in shelf.names(partition):
        try:
            manifest = shelf.open(partition, name).manifest
        except SnapshotUnusable:
            continue
        if manifest.topics == topics:
            return manifest
    return None


def _behind(cluster: Cluster, found: Mapping[int, Manifest | None], due_ms: int) -> list[int]:
    """Shards that had committed before `due_ms` what their newest snapshot does not hold."""
    until, ends = cluster.offsets_at("documents", max(0, due_ms)), cluster.ends("documents")
    spans = {}
    for partition, manifest in found.items():
        start = max(ends[partition][0], 0 if manifest is None else manifest.documents_offset)
        # Offsets alone do not tell: what ends a transaction, and aborted ones, take some too.
        spans[partition] = Span(start, min(until[partition], start + LOOKED))
    wanting = {partition: span for partition, span in spans.items() if span.start < span.end}
    return sorted({record.partition for record in cluster.sift("documents", wanting)})


def _named(partition: int, manifest: Manifest | None, now_ms: int) -> str:
    if manifest is None:
        return f"shard {partition} (none)"
    return f"shard {partition} ({output.span(max(0, now_ms - manifest.made_ms))} old)"


def _told(newest: Mapping[int, Manifest], shelf: Shelf, now_ms: int) -> str:
    if not newest:
        return f"none in {shelf.location.name}, and nothing to keep yet"
    oldest = max(max(0, now_ms - each.made_ms) for each in newest.values())
    size = output.size(sum(each.total_bytes for each in newest.values()))
    of = output.counted(len(newest), "shard")
    return f"the newest of {of} take {size} in {shelf.location.name}, and are at most {output.span(oldest)} old"
