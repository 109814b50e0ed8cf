"""Metrics of a lookup worker: counters of what it folds, gauges of what its shards hold."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import assert_never

from prometheus_client import Counter, Gauge, Histogram

from refrain.schemas.decisions import Decision, Reason
from refrain.schemas.responses import Outcome
from refrain.schemas.stats import CategoryNow, ShardStats
from refrain.streams.metrics import SECONDS, Metrics, policy_version, request_seconds
from refrain.streams.shard.counters import UNKNOWN
from refrain.streams.shard.counts import Counted
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.shard.state import Shard

logger = logging.getLogger(__name__)

NAME = "lookup"
MS = 1_000
SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.84, 0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98, 0.99, 1.0)
"""Buckets of similarities, finer where thresholds are."""


class LookupMetrics:
    """The metrics of a lookup worker, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        r = shared.registry
        self.decisions = Counter("refrain_decisions", "Requests decided", ["category", "outcome", "reason"], registry=r)
        self.admitted = Counter("refrain_entries_admitted", "Answers kept", ["category"], registry=r)
        self.not_admitted = Counter(
            "refrain_entries_not_admitted", "Answers delivered and not kept", ["reason"], registry=r
        )
        self.evicted = Counter("refrain_entries_evicted", "Entries dropped", ["category", "reason"], registry=r)
        self.load_only = Counter("refrain_hits_load_only", "Hits that only load allowed", ["category"], registry=r)
        self.stale = Counter("refrain_stale_served", "Answers served beyond their lifetime", ["category"], registry=r)
        self.saved_tokens = Counter(
            "refrain_saved_tokens", "Tokens that answers from the cache saved", ["category"], registry=r
        )
        self.saved_seconds = Counter(
            "refrain_saved_seconds", "Model time that answers from the cache saved", ["category"], registry=r
        )
        self.threshold = Gauge("refrain_threshold", "Similarity that a hit needs now", ["category"], registry=r)
        self.ttl = Gauge("refrain_ttl_seconds", "How long an answer is served now", ["category"], registry=r)
        self.room_entries = Gauge("refrain_room_entries", "Entries kept here", ["category"], registry=r)
        self.room_cap = Gauge("refrain_room_cap", "Entries that may be kept here", ["category"], registry=r)
        self.switched_off = Gauge("refrain_switched_off", "Whether the cache is off", ["category"], registry=r)
        self.withdrawing = Gauge("refrain_withdrawing", "Withdrawals whose entries have not all left", registry=r)
        self.stopped = Gauge("refrain_shard_stopped", "Shards that cannot go on", ["partition", "reason"], registry=r)
        self.entries = Gauge("refrain_entries", "Entries kept", ["partition"], registry=r)
        self.waiting = Gauge("refrain_waiting", "Requests that wait for a model", ["partition"], registry=r)
        self.behind = Gauge("refrain_behind_seconds", "How far decisions run behind the journal", registry=r)
        self.snapshot_every = Gauge("refrain_snapshot_every_seconds", "How often snapshots are made", registry=r)
        self.snapshot_time = Gauge(
            "refrain_snapshot_timestamp_seconds",
            "When the newest snapshot of a shard was last known to hold its state; 0 for none",
            ["partition"],
            registry=r,
        )
        self.snapshot_bytes = Gauge(
            "refrain_snapshot_bytes", "Size of the newest snapshot of a shard", ["partition"], registry=r
        )
        self.commit = Histogram("refrain_commit_seconds", "Time of a commit", buckets=SECONDS, registry=r)
        self.restore = Histogram("refrain_restore_seconds", "Time to restore a shard", buckets=SECONDS, registry=r)
        self.policy_version = policy_version(shared)
        self.request_seconds = request_seconds(shared)
        self.guard_refusals = Counter(
            "refrain_guard_refusals", "Misses that a guard decided, by guard", ["guard"], registry=r
        )
        self.similarity = Histogram(
            "refrain_similarity",
            "Similarity of the best candidate, by what came of it",
            ["outcome"],
            buckets=SIMILARITIES,
            registry=r,
        )

    def batch_done(self, seconds: float, records: int, behind_ms: int) -> None:
        """Count a batch: its time (s), its number of records, and the age of its last record (ms)."""
        self.shared.batch.labels(NAME).observe(seconds)
        self.shared.taken.labels(NAME, "journal").inc(records)
        self.behind.set(max(0, behind_ms) / MS)

    def show_size(self, shard: Shard) -> None:
        """Set the gauges of one shard."""
        self.entries.labels(str(shard.partition)).set(len(shard.entries))
        self.waiting.labels(str(shard.partition)).set(shard.flights.waiting)


def count(metrics: LookupMetrics, folded: FoldResult, known: Collection[str]) -> None:
    """Count one folded record: its decisions, entries and effects.

    `known` are the categories that the policy defines: clients may name any, and others are counted together.
    """
    for decision in folded.decisions:
        category = decision.category or ""
        _count_decision(metrics, decision, category if not category or category in known else UNKNOWN)
    for kind, *labels in folded.counts:
        match kind:
            case Counted.ADMITTED:
                metrics.admitted.labels(*labels).inc()
            case Counted.NOT_ADMITTED:
                metrics.not_admitted.labels(*labels).inc()
            case Counted.EVICTED:
                metrics.evicted.labels(*labels).inc()
            case Counted.DROPPED:
                metrics.shared.dropped.labels(NAME, *labels).inc()
            case Counted.REFUSED:
                logger.warning("a record of the journal is in dead-letters: %s", labels[0])
                metrics.shared.refused.labels(NAME, *labels).inc()
            case Counted.POLICY:
                metrics.policy_version.set(int(labels[0]))
            case Counted.TIMED_OUT | Counted.FORGOTTEN:
                metrics.shared.dropped.labels(NAME, kind.value).inc()
            case _:
                assert_never(kind)


def show(metrics: LookupMetrics, stats: Iterable[ShardStats]) -> None:
    """Set the gauges to what the worker's shards hold now: `stats` is the last record of every shard that it owns.

    Room is the sum over the shards. Of threshold and lifetime the most relaxed one is shown, and a category is off
    when any shard has it off: so a command shows until the last shard has folded it. A category that no shard knows
    any more leaves the gauges.
    """
    shards = list(stats)
    metrics.withdrawing.set(sum(shard.withdrawing for shard in shards))
    categories: dict[str, list[CategoryNow]] = defaultdict(list)
    for shard in shards:
        for category, now in shard.categories.items():
            categories[category].append(now)

    def each(value: Callable[[list[CategoryNow]], float | None]) -> dict[str, float | None]:
        return {category: value(known) for category, known in categories.items()}

    _set(metrics.room_entries, each(lambda known: sum(now.entries for now in known)))
    _set(metrics.room_cap, each(lambda known: sum(now.room for now in known)))
    _set(metrics.switched_off, each(lambda known: any(now.off for now in known)))
    _set(metrics.threshold, each(lambda known: min(_known(now.threshold for now in known), default=None)))
    _set(metrics.ttl, each(lambda known: max(_known(_seconds(now.ttl_ms) for now in known), default=None)))


def _count_decision(metrics: LookupMetrics, decision: Decision, category: str) -> None:
    metrics.decisions.labels(category, decision.outcome.value, decision.reason.value).inc()
    if decision.similarity is not None:
        metrics.similarity.labels(decision.outcome.value).observe(decision.similarity)
    if decision.reason is Reason.GUARD_REFUSED:
        for guard in {each.guard for each in decision.guards if each.verdict == "refused"}:
            metrics.guard_refusals.labels(guard).inc()
    if decision.outcome is Outcome.HIT and decision.load_only:
        metrics.load_only.labels(category).inc()
    if decision.outcome is Outcome.HIT and decision.stale:
        metrics.stale.labels(category).inc()
    if decision.saved_tokens:
        metrics.saved_tokens.labels(category).inc(decision.saved_tokens)
    if decision.saved_ms:
        metrics.saved_seconds.labels(category).inc(decision.saved_ms / MS)


def _set(gauge: Gauge, values: Mapping[str, float | None]) -> None:
    """Set a gauge to one value a category; a category without one loses its sample. Others stay during a scrape."""
    for sample in [sample for metric in gauge.collect() for sample in metric.samples]:
        category = sample.labels["category"]
        if values.get(category) is None:
            gauge.remove(category)
    for category, value in values.items():
        if value is not None:
            gauge.labels(category).set(value)


def _known(values: Iterable[float | None]) -> Iterable[float]:
    return (value for value in values if value is not None)


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / MS
