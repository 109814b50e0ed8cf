"""`refrain state`: what was known at a point of the log."""

from __future__ import annotations

from typing import Annotated

import typer

from refrain.ops.replay.command import Partitions
from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.ops.terminal.points import point_of
from refrain.ops.terminal.progress import progress_bar


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(state)


def state(
    context: typer.Context,
    at: Annotated[
        str | None,
        typer.Option(
            help="Before the record at this offset, or before this moment; else now.",
            show_default=False,
            metavar="OFFSET|TIME",
        ),
    ] = None,
    partition: Partitions = None,
    category: Annotated[str | None, typer.Option(help="Entries and waiting of this one.", show_default=False)] = None,
    tenant: Annotated[str | None, typer.Option(help="Entries and waiting of this one.", show_default=False)] = None,
    text: Annotated[bool, typer.Option("--text", help="Show questions and answers.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a partition, with all entries.")] = False,
) -> None:
    """Show what a shard knew at a point: entries, policy, loads, who waited, counters; and the state's digest.

    The journal is folded again up to the point; nothing live is touched. The digest is that of an audit or a replay
    that ends there.

    [bold]Examples[/bold]

    refrain state --at 48210 --partition 3

    refrain state --at 2026-03-01T12:00 --category code --json

    refrain state --tenant acme --text
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.control.known_names import check_names_on
    from refrain.ops.replay import state_view
    from refrain.ops.replay.state import Wanted, state_at
    from refrain.ops.replay.stretch import Stretch
    from refrain.streams.kafka.cluster import KafkaCluster

    point = point_of(at, "--at")
    settings = settings_of(context)
    reach(settings)
    wanted = Wanted(category, tenant, text)
    with KafkaCluster(settings) as cluster:
        check_names_on(cluster, category=category, tenant=tenant)
        numbers = chosen_partitions(cluster.partitions("journal"), partition)
        stretch = Stretch(cluster, numbers, point)
        with progress_bar("folding the journal again", len(stretch)) as progress:
            states = state_at(cluster, stretch, wanted, progress)
            if as_json:
                for each in states:
                    output.emit(state_view.to_json(each))
                return
            found = list(states)
    state_view.show(found)
