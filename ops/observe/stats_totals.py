"""Totals over all shards: their reports added up, for people and programs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from refrain.ops.observe.model_calls import ModelCalls
from refrain.schemas.documents import Tally
from refrain.schemas.stats import CategoryNow, ShardStats, Stopped

COUNTS = tuple(name for name in Tally.model_fields if name not in ("v", "left"))


class Span(NamedTuple):
    """Span of a figure that may differ from shard to shard: least and most."""

    low: float
    high: float


class Row(NamedTuple):
    """One category, all shards together."""

    category: str
    tally: Tally
    entries: int
    room: int
    threshold: Span | None
    base_threshold: Span | None
    ttl_ms: Span | None
    base_ttl_ms: Span | None
    relaxation: Span
    off: int
    """Shards in which it is switched off."""
    shards: int
    """Shards that know it."""

    @property
    def hit_rate(self) -> float | None:
        """Hits of all requests; None without requests."""
        return self.tally.hits / self.tally.asked if self.tally.asked else None


class Summary(NamedTuple):
    """The whole cache, as far as its shards have reported."""

    rows: tuple[Row, ...]
    loads: Mapping[str, float]
    """The highest of any shard, by model."""
    shards: int
    missing: tuple[int, ...]
    """Shards without a report."""
    oldest: ShardStats | None
    """The shard whose report is the oldest."""
    policy_versions: tuple[int, ...]
    """Of the policies by which shards act: more than one while a new one spreads."""
    entries: int
    waiting: int
    withdrawing: int
    stopped: Mapping[int, Stopped]
    """Shards that cannot go on."""
    calls: Mapping[str, ModelCalls] = MappingProxyType({})
    """Calls of each model in the last minutes."""


def summarise(
    reports: Iterable[ShardStats],
    partitions: Iterable[int],
    category: str | None = None,
    calls: Mapping[str, ModelCalls] = MappingProxyType({}),
) -> Summary:
    """Summarise the latest report of each shard: one category, or all in the order of their names.

    Counts add up, what a shard acts by is given from the least to the most.
    """
    latest = {report.partition: report for report in reports}
    numbers = sorted(partitions)
    there = [latest[number] for number in numbers if number in latest]
    names = sorted({name for report in there for name in report.categories})
    loads: dict[str, float] = {}
    for report in there:
        for model, load in report.loads.items():
            loads[model] = max(load, loads.get(model, 0.0))
    return Summary(
        rows=tuple(
            _row(name, [report.categories[name] for report in there if name in report.categories])
            for name in names
            if category in (None, name)
        ),
        loads=dict(sorted(loads.items())),
        shards=len(numbers),
        missing=tuple(number for number in numbers if number not in latest),
        oldest=min(there, key=lambda report: report.time_ms, default=None),
        policy_versions=tuple(sorted({r.policy_version for r in there if r.policy_version is not None})),
        entries=sum(report.entries for report in there),
        waiting=sum(report.waiting for report in there),
        withdrawing=sum(report.withdrawing for report in there),
        stopped={report.partition: report.stopped for report in there if report.stopped is not None},
        calls=calls,
    )


def total(tallies: Iterable[Tally]) -> Tally:
    """The tallies added up, field by field and reason by reason."""
    counts = dict.fromkeys(COUNTS, 0)
    left: dict[str, int] = {}
    for tally in tallies:
        for name in COUNTS:
            counts[name] += getattr(tally, name)
        for reason, count in tally.left.items():
            left[reason] = left.get(reason, 0) + count
    return Tally(**counts, left=dict(sorted(left.items())))


def rates(before: Summary, now: Summary, seconds: float) -> dict[str, tuple[float, float | None]]:
    """Rates by category: requests a second between two summaries, and the share of them that were hits.

    A category that was not there before counts from 0; one whose counts went back (another journal) is left out.
    """
    earlier = {row.category: row.tally for row in before.rows}
    found: dict[str, tuple[float, float | None]] = {}
    for row in now.rows:
        was = earlier.get(row.category, Tally())
        asked, hits = row.tally.asked - was.asked, row.tally.hits - was.hits
        if asked >= 0 and hits >= 0 and seconds > 0:
            found[row.category] = (asked / seconds, hits / asked if asked else None)
    return found


def to_json(summary: Summary, now_ms: int) -> dict[str, Any]:
    """The summary as JSON has it."""
    oldest = summary.oldest
    return {
        "shards": summary.shards,
        "missing": list(summary.missing),
        "oldest_ms": None if oldest is None else max(0, now_ms - oldest.time_ms),
        "policy_versions": list(summary.policy_versions),
        "entries": summary.entries,
        "waiting": summary.waiting,
        "withdrawing": summary.withdrawing,
        "stopped": {str(number): told.model_dump(mode="json") for number, told in summary.stopped.items()},
        "loads": dict(summary.loads),
        "models": {name: calls.to_json() for name, calls in summary.calls.items()},
        "categories": {row.category: _plain_row(row) for row in summary.rows},
    }


def _plain_row(row: Row) -> dict[str, Any]:
    spans = {
        name: None if span is None else {"low": span.low, "high": span.high}
        for name, span in row._asdict().items()
        if name in ("threshold", "base_threshold", "ttl_ms", "base_ttl_ms", "relaxation")
    }
    return {
        **row.tally.model_dump(mode="json", exclude={"v"}),
        "hit_rate": None if row.hit_rate is None else round(row.hit_rate, 6),
        "entries": row.entries,
        "room": row.room,
        **spans,
        "off_in_shards": row.off,
        "shards": row.shards,
    }


def _row(name: str, parts: Sequence[CategoryNow]) -> Row:
    return Row(
        category=name,
        tally=total(part.tally for part in parts),
        entries=sum(part.entries for part in parts),
        room=sum(part.room for part in parts),
        threshold=_span(part.threshold for part in parts),
        base_threshold=_span(part.base_threshold for part in parts),
        ttl_ms=_span(part.ttl_ms for part in parts),
        base_ttl_ms=_span(part.base_ttl_ms for part in parts),
        relaxation=_span(part.relaxation for part in parts) or Span(1.0, 1.0),
        off=sum(part.off for part in parts),
        shards=len(parts),
    )


def _span(values: Iterable[float | None]) -> Span | None:
    known = [value for value in values if value is not None]
    return Span(min(known), max(known)) if known else None
