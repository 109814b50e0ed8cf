"""`refrain stats`: what the cache has done and holds, by category."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from ops import exits, output
from ops.state import settings_of

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ops.stats_sum import Row, Span, Summary
    from schemas.stats import ShardStats
    from streams.log import Log

STATS = "stats"
EVERY_S = 1.0
NAMED_MAX = 12
"""Shards that are named one by one."""
DONE = ("category", "asked", "hits", "hit rate", "coalesced", "forwarded", "passed", "errors", "observed", "by load",
        "stale", "saved", "tokens saved")  # fmt: skip
HELD = ("category", "entries", "room", "left", "threshold", "lives", "relaxed", "state")
Rates = Mapping[str, tuple[float, float | None]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(stats)


def stats(
    context: typer.Context,
    category: Annotated[str | None, typer.Option(help="Only this one.", show_default=False)] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Again every second, with rates, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object; with --watch one a second.")] = False,
) -> None:
    """Show what came of each category's requests, what it holds, and what it acts by now.

    "by load" are hits that only load allowed; "saved" is the models' time that hits took no more; threshold and
    lifetime are those under the highest load of any model, with their base where it differs. Exit code 1 when no
    shard has reported.

    [bold]Examples[/bold]

    refrain stats

    refrain stats --category code --json | jq .categories.code.hit_rate

    refrain stats --watch
    """
    from ops.cluster import reach
    from streams.kafka_log import KafkaLog

    settings = settings_of(context)
    reach(settings)
    reports = Reports(KafkaLog(settings))
    if watch:
        _watch(reports, category, as_json)
        return
    found = reports.summary(category)
    _print(found, as_json)
    if found.oldest is None:
        output.hint("no shard has reported: is `refrain run lookup` running?")
        raise typer.Exit(exits.FAILED)


class Reports:
    """The latest report of each shard; each look reads what came since the last."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._shards = log.partitions("journal")
        self._next = 0
        self._end = -1
        self._latest: dict[int, ShardStats] = {}

    def summary(self, category: str | None) -> Summary:
        """All reports added up. Raises WrongSetup or LogFailed."""
        from ops.stats_sum import summed

        self._read()
        return summed(self._latest.values(), range(self._shards), category)

    def _read(self) -> None:
        from pydantic import ValidationError

        from schemas.stats import ShardStats

        _, end = self._log.ends(STATS).get(0, (0, 0))
        if end == self._end:
            return
        last: dict[bytes | None, bytes | None] = {}
        for record in self._log.scan(STATS, 0, self._next):
            self._next = record.offset + 1
            last[record.key] = record.value
        for value in last.values():
            try:
                report = ShardStats.decode(value or b"")
            except ValidationError:
                # Of a worker of another version: its shard counts as missing, or as what it last said.
                continue
            self._latest[report.partition] = report
        self._end = end


def _watch(reports: Reports, category: str | None, as_json: bool) -> None:
    from ops.stats_sum import rates

    before, at = reports.summary(category), time.monotonic()
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                _print(before, as_json)
                time.sleep(EVERY_S)
                before = reports.summary(category)
        from rich.live import Live

        with Live(_drawn(before, {}), console=output.console(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(EVERY_S)
                now, then = reports.summary(category), time.monotonic()
                live.update(_drawn(now, rates(before, now, then - at)), refresh=True)
                before, at = now, then
    except KeyboardInterrupt:
        return


def _print(found: Summary, as_json: bool) -> None:
    if as_json:
        from ops.stats_sum import plain

        output.emit(plain(found, _now_ms()))
        return
    for columns, cells in _tables(found, {}):
        output.table(columns, cells)
    for line in about(found, _now_ms()):
        output.hint(line)


def _drawn(found: Summary, seen: Rates) -> RenderableType:
    from rich.console import Group

    drawn = [output.drawn(columns, cells) for columns, cells in _tables(found, seen)]
    return Group(*drawn, *about(found, _now_ms()))


def _tables(found: Summary, seen: Rates) -> list[tuple[tuple[str, ...], list[tuple[object, ...]]]]:
    """What was done, and what is held. With rates two columns more."""
    done = [_done(row) for row in found.rows]
    if not seen:
        return [(DONE, done), (HELD, [_held(row) for row in found.rows])]
    now = [_rate(seen.get(row.category)) for row in found.rows]
    wide = [(*cells, *rate) for cells, rate in zip(done, now, strict=True)]
    return [((*DONE, "a second", "hits now"), wide), (HELD, [_held(row) for row in found.rows])]


def about(found: Summary, now_ms: int) -> list[str]:
    """Lines on loads, policy, and the shards that reported."""
    lines = [f"load of {model}: {load:.2f}" for model, load in found.loads.items()]
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


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
