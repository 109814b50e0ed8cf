"""`refrain export`: ranges of the journal, and kept entries, to files of JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.partitions import chosen_partitions
from refrain.ops.terminal.points import check_order, point_of
from refrain.ops.terminal.progress import progress_bar
from refrain.ops.transfer.streams import STANDARD, Compression, check_free, compression_of
from refrain.streams import time_of_day

if TYPE_CHECKING:
    from refrain.ops.transfer.redaction import Redaction

export = typer.Typer(no_args_is_help=True, help="Export ranges of the journal, or kept entries, as JSON lines.")
File = Annotated[str, typer.Argument(help="The file to write; - for standard output.", metavar="FILE")]
Redact = Annotated[bool, typer.Option("--redact", help="Put digests in place of all texts, and leave vectors out.")]
KeepVectors = Annotated[bool, typer.Option("--keep-vectors", help="With --redact: keep vectors, which tell of texts.")]
Compress = Annotated[Compression | None, typer.Option(help="Else by the file's name: .gz or .zst.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that is there.")]


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(export, name="export")


@export.command()
def entries(
    context: typer.Context,
    file: File,
    tenant: Annotated[str | None, typer.Option(help="Only those of this one.", show_default=False)] = None,
    category: Annotated[str | None, typer.Option(help="Only those of this one.", show_default=False)] = None,
    redact: Redact = False,
    keep_vectors: KeepVectors = False,
    compress: Compress = None,
    force: Force = False,
) -> None:
    """Export the entries that the cache would serve now. `refrain import` keeps them in another one.

    The file holds questions and answers, unless --redact says otherwise: only you may read it.

    [bold]Examples[/bold]

    refrain export entries acme.jsonl.zst --tenant acme

    refrain export entries - --category code --redact | head
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.control.known_names import check_names_on
    from refrain.ops.transfer.exporting import Whose, export_entries
    from refrain.ops.transfer.file import export_file
    from refrain.streams.kafka.cluster import KafkaCluster

    redaction = _redaction(redact=redact, keep_vectors=keep_vectors)
    compression = compression_of(file) if compress is None else compress
    check_free(file, force=force)
    settings = settings_of(context)
    reach(settings)
    with KafkaCluster(settings) as cluster:
        check_names_on(cluster, category=category, tenant=tenant)
        with (
            export_file(file, compression, force=force) as writer,
            progress_bar("reading documents", cluster.partitions("journal")) as progress,
        ):
            export_entries(
                cluster,
                writer,
                Whose(tenant, category),
                redaction,
                time_of_day.now_ms(),
                keep_vectors=keep_vectors or not redact,
                progress=progress,
            )
    _tell(output.counted(writer.lines, "entry", "entries"), file)


@export.command()
def journal(
    context: typer.Context,
    file: File,
    partition: Annotated[
        list[int] | None, typer.Option(min=0, help="Only this one; may be given several times.", show_default=False)
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--from", help="From this offset or moment on.", show_default=False, metavar="OFFSET|TIME"),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Before this one.", show_default=False, metavar="OFFSET|TIME")
    ] = None,
    redact: Redact = False,
    keep_vectors: KeepVectors = False,
    compress: Compress = None,
    force: Force = False,
) -> None:
    """Export a range of the journal, to be read or attached to a ticket.

    The file holds questions and answers, unless --redact says otherwise: only you may read it.

    [bold]Examples[/bold]

    refrain export journal shard-3.jsonl.gz --partition 3 --from 48000 --to 48210

    refrain export journal - --from 2026-03-01T12:00 --to 2026-03-01T12:05 --redact
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.transfer.exporting import export_journal, ranges_of
    from refrain.ops.transfer.file import export_file
    from refrain.streams.kafka.cluster import KafkaCluster

    redaction = _redaction(redact=redact, keep_vectors=keep_vectors)
    first, last = point_of(since, "--from"), point_of(to, "--to")
    check_order(first, last)
    compression = compression_of(file) if compress is None else compress
    check_free(file, force=force)
    settings = settings_of(context)
    reach(settings)
    with KafkaCluster(settings) as cluster:
        numbers = chosen_partitions(cluster.partitions("journal"), partition)
        ranges = ranges_of(cluster, numbers, first, last)
        total = sum(end - start for start, end in ranges.values())
        with (
            export_file(file, compression, force=force) as writer,
            progress_bar("reading the journal", total) as progress,
        ):
            export_journal(
                cluster,
                writer,
                ranges,
                redaction,
                time_of_day.now_ms(),
                keep_vectors=keep_vectors or not redact,
                progress=progress,
            )
    _tell(output.counted(writer.lines, "record"), file)


def _redaction(*, redact: bool, keep_vectors: bool) -> Redaction | None:
    from refrain.ops.transfer.redaction import Redaction

    if keep_vectors and not redact:
        raise typer.BadParameter("goes with --redact only: vectors are kept else", param_hint="--keep-vectors")
    return Redaction(keep_vectors=keep_vectors) if redact else None


def _tell(what: str, file: str) -> None:
    output.hint(f"{what} exported" + ("" if file == STANDARD else f" to {file}"))
