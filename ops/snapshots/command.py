"""`refrain snapshot` makes snapshots of shards; `refrain snapshots` lists and verifies them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.out_files import is_folder_or_may_be
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.ops.terminal.progress import progress_bar
from refrain.streams import time_of_day
from refrain.streams.errors import WrongSetup

if TYPE_CHECKING:
    from refrain.streams.settings import Settings
    from refrain.streams.snapshots.shelf import Listed, Shelf

snapshots = typer.Typer(no_args_is_help=True, help="List and verify snapshots of shards.")
COLUMNS = ("shard", "snapshot", "journal", "documents", "entries", "graphs", "size", "state", "what")

Place = Annotated[
    str | None, typer.Option("--location", help="A folder or URL (else snapshots.location).", show_default=False)
]
Partition = Annotated[
    list[int] | None, typer.Option(min=0, help="Only this one; may be given several times.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the command and the group."""
    app.command()(snapshot)
    app.add_typer(snapshots, name="snapshots")


def snapshot(
    context: typer.Context,
    partition: Partition = None,
    location: Place = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many at once (else one a core).", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a snapshot of each shard, verify it, and delete those that are not to be kept any longer.

    It is made from the topic documents alone: no worker is asked, what answers goes first, and who runs it needs to
    read no more than that. A process holds the state of one shard in memory. A shard whose newest snapshot has all of
    it gets none. Exit code 1 when one could not be made.

    [bold]Examples[/bold]

    refrain snapshot

    refrain snapshot --partition 3 --location s3://backups/refrain
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.snapshots.making import make_all
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.snapshots.shelf import url_of
    from refrain.streams.store.private import keep_private

    settings = settings_of(context)
    _shelf(settings, location)
    keep_private()
    reach(settings)
    failed = False
    with KafkaCluster(settings) as cluster:
        wanted = chosen_partitions(cluster.partitions("journal"), partition)
        at_once = min(processes or os.cpu_count() or 1, len(wanted))
        with progress_bar("making snapshots", len(wanted)) as progress:
            for made in make_all(settings, cluster, wanted, location or url_of(settings), at_once, progress):
                if made.record is None:
                    failed = True
                    output.hint(made.text)
                elif as_json:
                    output.emit(made.record)
                else:
                    output.say(made.text)
    if failed:
        raise typer.Exit(exit_codes.FAILED)


@snapshots.command(name="list")
def list_(context: typer.Context, partition: Partition = None, location: Place = None, as_json: AsJson = False) -> None:
    """Show the snapshots, the newest of each shard first, and what is none and why. Asks no broker.

    [bold]Example[/bold]

    refrain snapshots list --json | jq 'select(.partition == 3)'
    """
    _show(_listed(_shelf(settings_of(context), location), partition), as_json=as_json)


@snapshots.command()
def verify(
    context: typer.Context,
    partition: Partition = None,
    location: Place = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Look at the files only, and not whether they are of this cluster.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every file of every snapshot, and say of each whether a restore can begin from it.

    Exit code 1 when a shard has snapshots and none of them can be used.

    [bold]Example[/bold]

    refrain snapshots verify --partition 3
    """
    from refrain.ops.snapshots.verifying import places, verified

    settings = settings_of(context)
    shelf = _shelf(settings, location)
    found = _listed(shelf, partition)
    where = {} if offline else places(settings, {each.partition for each in found}, time_of_day.now_ms())
    with progress_bar("verifying", len(found)) as progress:
        checked = []
        for done, each in enumerate(found):
            progress(done)
            checked.append(verified(each, where.get(each.partition), offline=offline))
    _show(checked, as_json=as_json)
    if {each.partition for each in checked} - {each.partition for each in checked if not each.why}:
        raise typer.Exit(exit_codes.FAILED)


def _shelf(settings: Settings, location: str | None) -> Shelf:
    from refrain.streams.snapshots.location import Location
    from refrain.streams.snapshots.shelf import Shelf, location_of

    if location is None:
        return Shelf(location_of(settings))
    try:
        named = Location(location)
    except WrongSetup as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--location") from wrong
    if named.is_local and not is_folder_or_may_be(Path(location)):
        raise typer.BadParameter(f"{location} cannot be a folder: name a folder", param_hint="--location")
    return Shelf(named)


def _listed(shelf: Shelf, wanted: Sequence[int] | None) -> list[Listed]:
    """All snapshots of the shards (else of all). Raises typer.BadParameter for a shard that has none."""
    known = shelf.partitions()
    for number in wanted or ():
        if number not in known:
            raise typer.BadParameter(
                f"{shelf.location.name} has no snapshot of shard {number}", param_hint="--partition"
            )
    if not known:
        output.hint(f"{shelf.location.name} has no snapshots: `refrain snapshot` makes them")
    return [each for number in (sorted(set(wanted)) if wanted else known) for each in shelf.listed(number)]


def _show(found: Sequence[Listed], *, as_json: bool) -> None:
    if as_json:
        for each in found:
            output.emit(to_json(each))
    else:
        output.table(COLUMNS, [_cells(each) for each in found])


def to_json(listed: Listed) -> dict[str, Any]:
    """For JSON: the manifest without its list of files, and what is wrong."""
    out: dict[str, Any] = {"partition": listed.partition, "name": listed.name, "problem": listed.why or None}
    if listed.snapshot is not None:
        known = listed.snapshot.manifest
        out |= known.model_dump(mode="json", exclude={"v", "kind", "rows", "graphs", "partition"})
        out |= {"bytes": known.total_bytes, "graphs": len(known.graphs)}
    return out


def _cells(listed: Listed) -> tuple[object, ...]:
    if listed.snapshot is None:
        return listed.partition, listed.name, *[""] * 6, listed.why
    known = listed.snapshot.manifest
    size = output.size(known.total_bytes)
    places = known.journal_offset, known.documents_offset
    return (
        listed.partition, listed.name, *places, known.entries, len(known.graphs), size, known.state, listed.why or "ok",
    )  # fmt: skip
