"""Makes snapshots of shards, several at once, each in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from refrain.ops.cluster.processes import Progress, in_processes
from refrain.streams.errors import SnapshotUnusable, StoreDamaged, StoreUnusable
from refrain.streams.kafka.interface import Cluster
from refrain.streams.settings import Settings
from refrain.streams.snapshots.location import Location
from refrain.streams.snapshots.making import make_snapshot
from refrain.streams.snapshots.shelf import Shelf
from refrain.streams.time_of_day import now_ms


class Job(NamedTuple):
    """One shard of which a snapshot is to be made."""

    partition: int
    location: str
    """A folder or URL."""
    keep: int
    keep_ms: int


class Made(NamedTuple):
    """What came of it."""

    partition: int
    text: str
    """For people; why there is no snapshot, where `record` is None."""
    record: dict[str, Any] | None
    """For JSON; None where none could be made."""


def make_all(
    settings: Settings, cluster: Cluster, partitions: Sequence[int], location: str, processes: int, progress: Progress
) -> Iterator[Made]:
    """Make a snapshot of each shard, and tell of each when it is there, whether it was made or not.

    Raises WrongSetup when `documents` is of another journal.
    """
    keep = settings.snapshots
    jobs = [Job(partition, location, keep.keep, keep.keep_ms) for partition in partitions]
    if processes == 1:
        for done, job in enumerate(jobs):
            progress(done)
            yield make(cluster, job, lambda _: None)
    else:
        for _, made in in_processes(settings, make, jobs, processes, progress):
            yield made


def make(cluster: Cluster, job: Job, step: Progress) -> Made:
    """Make a snapshot of one shard."""
    shelf = Shelf(Location(job.location))
    try:
        outcome = make_snapshot(cluster, shelf, job.partition, now_ms, keep=job.keep, keep_ms=job.keep_ms)
    except (SnapshotUnusable, StoreDamaged, StoreUnusable) as error:
        return Made(job.partition, f"shard {job.partition}: no snapshot was made: {error}", None)
    finally:
        step(1)
    return Made(job.partition, outcome.text, outcome.to_json())
