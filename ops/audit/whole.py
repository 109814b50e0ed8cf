"""Audits several partitions, each in a process of its own, beside a live system and touching nothing of it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from refrain.ops.audit.effects import KINDS, NO_SHARD, Effects, PublishedEffects, as_folded, effect_of
from refrain.ops.audit.findings import Findings
from refrain.ops.audit.limits import Asked
from refrain.ops.audit.partition import Audited, PartitionAudit
from refrain.ops.audit.sampling import Sample, draw_published
from refrain.ops.cluster.processes import Progress, in_processes
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.interface import Cluster
from refrain.streams.settings import Settings
from refrain.streams.snapshots.location import Location
from refrain.streams.snapshots.shelf import Shelf

NEVER_MS = 2**63
"""A time that does not come."""
PACED = 100
"""Records after which a limited rate is kept."""


class Sampling(NamedTuple):
    """How many decisions are sampled, and by which seed."""

    size: int
    seed: int


class Job(NamedTuple):
    """One partition to audit."""

    partition: int
    asked: Asked
    folder: Path
    """Where the published effects of each shard are, by number."""
    kept_from_ms: dict[str, int]
    rate: float | None
    """Records a second, None: as many as it can."""
    sample: Sample | None = None
    """The decisions to compare, None: all."""
    seal: bool = False
    snapshots: str | None = None
    """The location of snapshots to begin from; None: it begins at the first record."""


class Audit(NamedTuple):
    """Result of an audit."""

    partitions: list[Audited]
    """In the order in which they were asked for."""
    strange: Findings
    """What was published and cannot be read, so that it is of no partition."""
    sample: Sample | None = None


def audit_all(
    settings: Settings,
    partitions: Sequence[int],
    asked: Asked,
    *,
    processes: int,
    rate: float | None,
    sampling: Sampling | None = None,
    seal: bool = False,
    snapshots: str | None = None,
    progress: Progress = lambda _: None,
) -> Audit:
    """Audit the partitions, and seal their logs when `seal` asks for it. They begin from `snapshots` where given."""
    with tempfile.TemporaryDirectory(prefix="refrain-audit-") as made, KafkaCluster(settings) as cluster:
        folder = Path(made)
        sample = None if sampling is None else draw_published(cluster, partitions, asked, *sampling)
        laid = lay_out(cluster, partitions, folder, sample)
        jobs = [
            Job(partition, asked, folder, laid.kept_from_ms, rate, sample, seal, snapshots) for partition in partitions
        ]
        if processes == 1:
            counted = _Counted(progress)
            audited = [_audited(cluster, job, counted) for job in jobs]
        else:
            found = in_processes(settings, _audited, jobs, processes, progress)
            audited = [each for _, each in sorted(found, key=itemgetter(0))]
        return Audit(audited, laid.strange, sample)


class LaidOut(NamedTuple):
    """What was published, laid into stores."""

    kept_from_ms: dict[str, int]
    """By topic from when on (ms) all that was published is still there."""
    strange: Findings
    """What nobody of Refrain's wrote: it cannot be read."""


def lay_out(cluster: Cluster, partitions: Sequence[int], folder: Path, sample: Sample | None = None) -> LaidOut:
    """Lay the published effects of each partition, or of the decisions of a sample, into a store in the folder."""
    stores = {number: PublishedEffects(folder / str(number)) for number in partitions}
    kept_from_ms, strange = dict.fromkeys(KINDS, 0), Findings(NO_SHARD)
    shards = cluster.partitions("journal")
    try:
        for topic in KINDS:
            for partition, (first, end) in cluster.ends(topic).items():
                if 0 < first == end:
                    # Which of them stood here nobody can say.
                    kept_from_ms[topic] = NEVER_MS
                for at, record in enumerate(cluster.scan(topic, partition)):
                    if at == 0 and first > 0:
                        kept_from_ms[topic] = max(kept_from_ms[topic], record.timestamp_ms)
                    effect = effect_of(record)
                    if effect is None:
                        continue
                    if not 0 <= effect.shard < shards:
                        strange.add(KINDS[topic][2], -1, effect.id)
                    elif effect.shard in stores and (sample is None or sample.holds(effect.id)):
                        stores[effect.shard].put(effect, as_folded(record))
    finally:
        for store in stores.values():
            store.flush()
            store.close()
    return LaidOut(kept_from_ms, strange)


class _Counted:
    """Counts the records of one partition after another."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done = 0

    def __call__(self, _: int) -> None:
        self._done += 1
        if self._done % PACED == 0:
            self._progress(self._done)


def _audited(cluster: Cluster, job: Job, progressed: Callable[[int], None]) -> Audited:
    """Audit one partition."""
    findings = Findings(job.partition)
    published = PublishedEffects(job.folder / str(job.partition))
    try:
        published.hold()
        effects = Effects(published, job.kept_from_ms, findings, job.sample)
        shelf = None if job.snapshots is None else Shelf(Location(job.snapshots))
        sample, from_ms = job.sample, job.asked.from_ms
        audit = PartitionAudit(
            cluster, job.partition, effects, findings, sample=sample, seal=job.seal, shelf=shelf, from_ms=from_ms
        )
        return audit.run(job.asked, _paced(progressed, job.rate))
    finally:
        published.close()


def _paced(progressed: Callable[[int], None], rate: float | None) -> Callable[[int], None]:
    """The same, sleeping so that no more records a second are folded."""
    if rate is None:
        return progressed
    started, done = time.monotonic(), 0

    def paced(offset: int) -> None:
        nonlocal done
        done += 1
        progressed(offset)
        early_s = started + done / rate - time.monotonic() if done % PACED == 0 else 0.0
        if early_s > 0:
            time.sleep(early_s)

    return paced
