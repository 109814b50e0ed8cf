"""Tables of `refrain stats` for people. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from refrain.ops.observe.model_calls import WINDOW_MS, failed
from refrain.ops.terminal import output
from refrain.streams.shard.counters import UNKNOWN

if TYPE_CHECKING:
    from refrain.ops.observe.model_calls import ModelCalls
    from refrain.ops.observe.stats_totals import Row, Span, Summary

NAMED_MAX = 12
"""Shards that are named one by one."""
DONE = ("category", "asked", "hits", "hit rate", "coalesced", "forwarded", "passed", "errors", "observed", "by load",
        "stale", "saved", "tokens saved")  # fmt: skip
HELD = ("category", "entries", "room", "left", "threshold", "lives", "relaxed", "state")
MODELS = ("model", "calls", "failed", "the last failure")
Rates = Mapping[str, tuple[float, float | None]]
"""Requests a second and the share of hits in them, by category."""


def tables(found: Summary, seen: Rates) -> list[tuple[tuple[str, ...], list[tuple[object, ...]]]]:
    """Tables of outcomes, holdings and calls of models: column names and rows. With rates two columns more."""
    columns: tuple[str, ...] = DONE
    done = [_done(row) for row in found.rows]
    if seen:
        now = [_rate(seen.get(row.category)) for row in found.rows]
        done, columns = (
            [(*cells, *rate) for cells, rate in zip(done, now, strict=True)],
            (*DONE, "a second", "hits now"),
        )
    shown: list[tuple[tuple[str, ...], list[tuple[object, ...]]]] = [
        (columns, done),
        (HELD, [_held(row) for row in found.rows]),
    ]
    if found.calls:
        shown.append((MODELS, [_called(calls) for calls in found.calls.values()]))
    return shown


def about(found: Summary, now_ms: int) -> list[str]:
    """Lines below the tables: loads, policy, and the shards that reported."""
    lines = [
        f"{output.counted(row.tally.asked, 'request')} of no category that the policy defines (row {UNKNOWN}):"
        " see `refrain watch decisions --reason category_unknown`, or `no_policy`"
        for row in found.rows
        if row.category == UNKNOWN and row.tally.asked
    ]
    lines += [f"load of {model}: {load:.2f}" for model, load in found.loads.items()]
    lines += [
        f"{failed(calls)} in the last {output.span(WINDOW_MS)}" for calls in found.calls.values() if calls.failures
    ]
    if found.oldest is not None:
        versions = " and ".join(map(str, found.policy_versions)) or "none"
        waiting = output.counted(found.waiting, "request")
        lines.append(
            f"policy version {versions}; {waiting} wait for a model; {found.withdrawing} withdrawals under way"
        )
        age = output.span(max(0, now_ms - found.oldest.time_ms))
        lines.append(
            f"{found.shards - len(found.missing)} of {found.shards} shards have reported, the oldest (shard"
            f" {found.oldest.partition}) {age} ago: each does when something changed"
        )
    lines += [
        f"shard {number} is stopped at offset {told.position} ({told.reason.value}): see `refrain shards list`"
        for number, told in found.stopped.items()
    ]
    if found.missing and found.oldest is not None:
        named = ", ".join(map(str, found.missing[:NAMED_MAX])) + (" …" if len(found.missing) > NAMED_MAX else "")
        lines.append(f"without a report: {named}: are their lookup workers running?")
    return lines


def _done(row: Row) -> tuple[object, ...]:
    t = row.tally
    return (
        row.category, t.asked, t.hits, _percent(row.hit_rate), t.coalesced, t.forwarded, t.passed, t.errors,
        t.observed, t.load_only, t.stale, output.span(t.saved_ms), t.saved_tokens,
    )  # fmt: skip


def _called(calls: ModelCalls) -> tuple[object, ...]:
    return (calls.model, calls.calls, calls.failures, calls.last_failure or "-")


def _held(row: Row) -> tuple[object, ...]:
    left = ", ".join(f"{count} {reason}" for reason, count in sorted(row.tally.left.items()))
    relaxed = "fully" if row.relaxation.low >= 1 else f"{row.relaxation.low:.0%} of the way"
    return (
        row.category,
        row.entries,
        _percent(row.entries / row.room) if row.room else "-",
        left or "-",
        _against(row.threshold, row.base_threshold, lambda value: f"{value:.3f}"),
        _against(row.ttl_ms, row.base_ttl_ms, output.span),
        relaxed,
        _state(row),
    )


def _state(row: Row) -> str:
    if not row.off:
        return "on"
    return "off" if row.off == row.shards else f"off in {row.off} of {row.shards} shards"


def _against(now: Span | None, base: Span | None, text: output.Text) -> str:
    """What holds now, and the base where it is another."""
    if now is None:
        return "-"
    shown = _span(now, text)
    return shown if base is None or base == now else f"{shown} (base {_span(base, text)})"


def _span(span: Span, text: output.Text) -> str:
    low, high = text(span.low), text(span.high)
    return low if low == high else f"{low} … {high}"


def _rate(rate: tuple[float, float | None] | None) -> tuple[str, str]:
    return ("-", "-") if rate is None else (f"{rate[0]:.1f}", _percent(rate[1]))


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
