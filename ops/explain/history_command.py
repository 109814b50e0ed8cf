"""`refrain history`: every command that was given, by whom, when, why, and what it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.explain.commands import CONTROL, LETTERS, CommandKind, GivenCommand, given, refusals
from refrain.ops.explain.lines import moment
from refrain.ops.terminal import output
from refrain.ops.terminal.moments import Between, between
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.output import safe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from refrain.streams.kafka.interface import Cluster


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(history)


def history(
    context: typer.Context,
    kind: Annotated[
        list[CommandKind] | None,
        typer.Option(help="Only this kind; may be given several times.", show_default=False),
    ] = None,
    since: Annotated[str | None, typer.Option("--from", help="From this moment on.", show_default=False)] = None,
    to: Annotated[str | None, typer.Option("--to", help="Before this moment.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a command.")] = False,
) -> None:
    """Show every command: policies, withdrawals, judgements, switches, loads; who, when, why, what, refused or not.

    [bold]Examples[/bold]

    refrain history --kind withdrawal --kind judgement

    refrain history --from 2026-03-01 --json
    """
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster

    settings, when = settings_of(context), between(since, to)
    reach(settings)
    with KafkaCluster(settings) as cluster:
        found = commands(cluster, frozenset(kind or CommandKind), when)
        if as_json:
            for each in found:
                output.emit(each._asdict() | {"kind": each.kind.value})
        else:
            output.table(("version", "when", "kind", "who", "what", "why", "refused"), map(_row, found))
        begins = cluster.ends(CONTROL)[0][0]
        letters_gone = any(first > 0 for first, _ in cluster.ends(LETTERS).values())
    if begins:
        output.hint(f"`control` begins at offset {begins}: what is older is gone")
    if letters_gone:
        output.hint("retention took the oldest dead letters: commands of that time are told as carried out")


def commands(cluster: Cluster, kinds: frozenset[CommandKind], when: Between) -> Iterable[GivenCommand]:
    """The commands of a cluster. Raises WrongSetup or ClusterFailed."""
    from refrain.ops.cluster.scan import records

    refused = refusals(records(cluster, LETTERS, "reading dead letters"))
    return given(records(cluster, CONTROL, "reading control"), refused, kinds, when)


def _row(each: GivenCommand) -> tuple[object, ...]:
    cells = (each.who, each.what, each.why, each.refused or "")
    return each.version, moment(each.time_ms), each.kind.value, *map(safe, cells)
