"""What a worker tells of each batch besides its effects: spans, times of requests, and counts of what was folded."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.lookup.metrics import NAME, LookupMetrics, count
from refrain.streams.lookup.request_times import RequestTimes
from refrain.streams.lookup.shards import FoldedShards
from refrain.streams.lookup.spans import DecisionSpans
from refrain.streams.shard.outcome import FoldResult
from refrain.streams.traces.interface import Traces


class Telemetry:
    """Metrics and spans of one batch after another."""

    def __init__(self, shards: FoldedShards, metrics: LookupMetrics, traces: Traces, now_ms: Callable[[], int]) -> None:
        self._shards = shards
        self._metrics = metrics
        self._spans = DecisionSpans(traces, shards.categories)
        self._request_times = RequestTimes(metrics.request_seconds)
        self._now_ms = now_ms

    def effects(self, records: Sequence[Record], results: Sequence[FoldResult | None]) -> list[Outgoing]:
        """The effects of a batch to send, with the contexts of their spans where there are any."""
        if self._spans.on:
            return self._spans.effects(zip(records, results, strict=True))
        return [effect for each in results if each is not None for effect in each.effects]

    def sent(
        self,
        records: Sequence[Record],
        results: Sequence[FoldResult | None],
        effects: Sequence[Outgoing],
        started_s: float,
    ) -> None:
        """The effects of a batch are acknowledged; `started_s` is when it began, by `time.perf_counter`."""
        self._spans.sent()
        if not records:
            return
        folded = [each for each in results if each is not None]
        now_ms = self._now_ms()
        self._metrics.batch_done(time.perf_counter() - started_s, len(records), now_ms - records[-1].timestamp_ms)
        self._metrics.shared.count_sent(NAME, effects)
        self._request_times.take(folded, effects, now_ms)
        known = self._shards.categories()
        for each in folded:
            count(self._metrics, each, known)
        for partition in {record.partition for record in records} & self._shards.keys():
            self._metrics.show_size(self._shards[partition])
