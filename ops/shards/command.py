"""`refrain shards`: list the shards, and let one that is stopped go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.options import Timeout, Who, Why, Yes, confirm, name
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of

if TYPE_CHECKING:
    from refrain.ops.shards.rows import ShardRow
    from refrain.schemas.base import RecoveryWay

shards = typer.Typer(no_args_is_help=True, help="List the shards, and let one that is stopped go on.")
COLUMNS = ("shard", "worker", "position", "journal", "state", "what to do")


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(shards, name="shards")


@shards.command(name="list")
def list_(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False
) -> None:
    """Show each shard: its worker, where it stands, what the journal still has, and why it is stopped if it is.

    Exit code 1 when one is stopped.

    [bold]Example[/bold]

    refrain shards list --json | jq 'select(.stopped)'
    """
    from refrain.ops.shards.facts import look

    rows = look(settings_of(context))
    if as_json:
        for row in rows:
            output.emit(row.to_json())
    else:
        output.table(COLUMNS, [_cells(row) for row in rows])
    if any(row.stopped for row in rows):
        raise typer.Exit(exit_codes.FAILED)


@shards.command()
def recover(
    context: typer.Context,
    partition: Annotated[int, typer.Argument(min=0, help="The shard.")],
    from_watermark: Annotated[
        bool, typer.Option("--from-watermark", help="Go on at the first journal record that is still there.")
    ] = False,
    from_documents: Annotated[
        bool, typer.Option("--from-documents", help="Delete the local store and fill it from documents.")
    ] = False,
    empty: Annotated[bool, typer.Option("--empty", help="Begin with nothing, at the journal's start.")] = False,
    yes: Yes = False,
    who: Who = None,
    why: Why = "",
    timeout: Timeout = 60.0,
) -> None:
    """Let a stopped shard go on; tells what is lost and asks first. No worker is started again for it.

    Exit code 75 when it has not gone on in time: the order stands, and is obeyed when the shard's worker runs.

    [bold]Examples[/bold]

    refrain shards recover 3 --from-watermark

    refrain shards recover 3 --empty --yes
    """
    from refrain.ops.shards.facts import look, order_recovery
    from refrain.ops.shards.rows import check_recovery, losses

    how = _way(from_watermark, from_documents, empty)
    settings = settings_of(context)
    rows = look(settings)
    if partition >= len(rows):
        raise typer.BadParameter(f"the journal has {len(rows)} partitions, 0 to {len(rows) - 1}")
    row = rows[partition]
    stopped = check_recovery(row, how)
    output.hint(losses(row, how))
    confirm(f"Recover shard {partition}?", yes)
    order_recovery(settings, partition, how, stopped.position, name(who), why, timeout)
    output.say(f"shard {partition} goes on")


def _way(from_watermark: bool, from_documents: bool, empty: bool) -> RecoveryWay:
    from refrain.schemas.base import RecoveryWay

    chosen = [
        way
        for way, wanted in (
            (RecoveryWay.WATERMARK, from_watermark),
            (RecoveryWay.DOCUMENTS, from_documents),
            (RecoveryWay.EMPTY, empty),
        )
        if wanted
    ]
    if len(chosen) != 1:
        raise typer.BadParameter("name one of --from-watermark, --from-documents and --empty")
    return chosen[0]


def _cells(row: ShardRow) -> tuple[object, ...]:
    from refrain.ops.shards.rows import remedy_of

    journal = f"{row.first} to {row.end}"
    owner = row.owner or "nobody"
    position = "" if row.position is None else row.position
    if row.stopped is None:
        idle = "" if row.owner else "start `refrain run lookup`"
        return row.partition, owner, position, journal, "works" if row.owner else "no worker", idle
    state = f"stopped at {row.stopped.position}: {row.stopped.reason.value}"
    if row.stopped.offset != row.stopped.position:
        state += f" (offset {row.stopped.offset})"
    return row.partition, owner, position, journal, state, remedy_of(row.partition, row.stopped)
