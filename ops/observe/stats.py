"""`refrain stats`: outcomes, size and terms in force of the cache, by category."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.cluster.new_records import NewRecords
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.streams import time_of_day

if TYPE_CHECKING:
    from rich.console import RenderableType

    from refrain.ops.observe.stats_totals import Summary
    from refrain.ops.observe.stats_view import Rates
    from refrain.schemas.stats import ShardStats
    from refrain.streams.kafka.interface import Cluster

STATS = "stats"
EVERY_S = 1.0


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
    from refrain.ops.cluster.connection import reach
    from refrain.ops.control.known_names import check_category
    from refrain.streams.kafka.cluster import KafkaCluster

    settings = settings_of(context)
    reach(settings)
    cluster = KafkaCluster(settings)
    check_category(cluster, category, or_none=True)
    reports = StatsReports(cluster)
    if watch:
        _watch(reports, category, as_json)
        return
    found = reports.summary(category)
    _print(found, as_json)
    if found.oldest is None:
        output.hint("no shard has reported: is `refrain run lookup` running?")
        raise typer.Exit(exit_codes.FAILED)


class StatsReports:
    """Latest report of each shard; each call reads what came since the last."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._shards = cluster.partitions("journal")
        self._latest: dict[int, ShardStats] = {}
        # What another topic told is of this one no more.
        self._news = NewRecords(cluster, STATS, from_start=True, anew=self._latest.clear)

    def summary(self, category: str | None) -> Summary:
        """Summary of the latest reports of all shards. Raises WrongSetup or ClusterFailed."""
        from refrain.ops.observe.model_calls import read_calls
        from refrain.ops.observe.stats_totals import summarise

        self._read()
        return summarise(
            self._latest.values(), range(self._shards), category, read_calls(self._cluster, time_of_day.now_ms())
        )

    def reports(self) -> dict[int, ShardStats]:
        """The latest report of each shard that has reported. Raises WrongSetup or ClusterFailed."""
        self._read()
        return dict(self._latest)

    def _read(self) -> None:
        from pydantic import ValidationError

        from refrain.schemas.stats import ShardStats

        last = {record.key: record.value for record in self._news.read()}
        for value in last.values():
            try:
                report = ShardStats.decode(value or b"")
            except ValidationError:
                # Of a worker of another version: its shard counts as missing, or as what it last said.
                continue
            self._latest[report.partition] = report


def _watch(reports: StatsReports, category: str | None, as_json: bool) -> None:
    from refrain.ops.observe.stats_totals import rates

    before, at = reports.summary(category), time.monotonic()
    try:
        if as_json or not sys.stdout.isatty():
            while True:
                _print(before, as_json)
                time.sleep(EVERY_S)
                before = reports.summary(category)
        from rich.live import Live

        with Live(_render(before, {}), console=output.console(), auto_refresh=False, screen=True) as live:
            while True:
                time.sleep(EVERY_S)
                now, then = reports.summary(category), time.monotonic()
                live.update(_render(now, rates(before, now, then - at)), refresh=True)
                before, at = now, then
    except KeyboardInterrupt:
        return


def _print(found: Summary, as_json: bool) -> None:
    if as_json:
        from refrain.ops.observe.stats_totals import to_json

        output.emit(to_json(found, time_of_day.now_ms()))
        return
    from refrain.ops.observe.stats_view import about, tables

    for columns, cells in tables(found, {}):
        output.table(columns, cells)
    for line in about(found, time_of_day.now_ms()):
        output.hint(line)


def _render(found: Summary, seen: Rates) -> RenderableType:
    from rich.console import Group

    from refrain.ops.observe.stats_view import about, tables

    width = output.console().width
    drawn = [part for columns, cells in tables(found, seen) for part in output.rich_tables(columns, cells, width)]
    return Group(*drawn, *about(found, time_of_day.now_ms()))
