"""What a worker counts, for Prometheus. One object a worker, on a registry of its own."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from streams.log import Outgoing

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120)


class Metrics:
    """All metrics of a worker; a processor touches those that are its own."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        r = self.registry = registry or CollectorRegistry()
        self.taken = Counter("refrain_records_taken", "Records read", ["processor", "topic"], registry=r)
        self.sent = Counter("refrain_records_sent", "Records written", ["processor", "topic"], registry=r)
        self.refused = Counter(
            "refrain_refused", "Messages that could not be taken", ["processor", "reason"], registry=r
        )
        self.dropped = Counter(
            "refrain_dropped",
            "Messages that were seen before or came too late",
            ["processor", "reason"],
            registry=r,
        )
        self.lag = Gauge("refrain_lag", "Records not read yet", ["processor", "partition"], registry=r)
        self.batch = Histogram(
            "refrain_batch_seconds",
            "Time to work through a batch",
            ["processor"],
            buckets=SECONDS,
            registry=r,
        )
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
        self.comparisons = Counter(
            "refrain_comparisons", "Observed answers compared with the model's", ["category", "equal"], registry=r
        )
        self.entries = Gauge("refrain_entries", "Entries kept", ["partition"], registry=r)
        self.waiting = Gauge("refrain_waiting", "Requests that wait for a model", ["partition"], registry=r)
        self.behind = Gauge("refrain_behind_seconds", "How far decisions run behind the journal", registry=r)
        self.commit = Histogram("refrain_commit_seconds", "Time of a commit", buckets=SECONDS, registry=r)
        self.restore = Histogram("refrain_restore_seconds", "Time to restore a shard", buckets=SECONDS, registry=r)
        self.embedded = Counter("refrain_texts_embedded", "Texts embedded, and remembered", ["how"], registry=r)
        self.doubts = Counter(
            "refrain_doubts", "Second opinions: same, other, unknown, or late and not given", ["outcome"], registry=r
        )
        self.verify_seconds = Histogram(
            "refrain_verify_seconds", "Time to score the pairs of a batch", buckets=SECONDS, registry=r
        )
        self.calls = Counter("refrain_model_calls", "Calls of a model", ["model", "status"], registry=r)
        self.call_seconds = Histogram(
            "refrain_model_call_seconds", "Time of a model call", ["model"], buckets=SECONDS, registry=r
        )
        self.open_calls = Gauge("refrain_model_calls_open", "Calls under way", registry=r)
        self.load = Gauge("refrain_model_load", "Smoothed load of a model", ["model"], registry=r)
        self.policy_version = Gauge("refrain_policy_version", "Version of the policy in use", registry=r)

    def count_sent(self, processor: str, records: Iterable[Outgoing]) -> None:
        """Count what a processor has written, topic by topic."""
        for topic, number in Counted(record.topic for record in records).items():
            self.sent.labels(processor, topic).inc(number)
