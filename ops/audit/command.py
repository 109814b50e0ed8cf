"""`refrain audit`: fold the journal again and compare every decision, response, forward and change of `documents`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(audit)


def _moment(text: str | None) -> int | None:
    from refrain.ops.terminal.durations import read_moment_ms

    try:
        return None if text is None else read_moment_ms(text)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong)) from wrong


def audit(
    context: typer.Context,
    since: Annotated[
        str | None, typer.Option("--from", help="Compare what was decided from this moment on.", show_default=False)
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Compare what was decided before it.", show_default=False)
    ] = None,
    partition: Annotated[
        list[int] | None, typer.Option(help="Only this one; may be given several times.", show_default=False)
    ] = None,
    category: Annotated[
        str | None, typer.Option(help="Compare the decisions of this one only.", show_default=False)
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="How many at once (else one a core).", show_default=False)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=1, help="Records a second of each process (else all it can).", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Fold the journal again and compare what comes of it with what was published. Nothing live is touched.

    Every hit is made sure of at its place by integer arithmetic: alive, in the namespace, as similar as was said,
    above the threshold and within the lifetime in force, past the guards. Every miss is searched for exactly: what an
    approximate index missed is counted. Compared is what retention has kept; what was gone is told. Exit code 1 when
    anything differs.

    [bold]Examples[/bold]

    refrain audit

    refrain audit --from 2026-03-01 --partition 3 --json
    """
    from refrain.ops.audit import report
    from refrain.ops.audit.partition import Asked
    from refrain.ops.audit.whole import audit_all
    from refrain.ops.cluster.connection import reach
    from refrain.streams.kafka.cluster import KafkaCluster

    settings = settings_of(context)
    reach(settings)
    asked = Asked(_moment(since) or 0, _moment(to), category)
    with KafkaCluster(settings) as cluster:
        partitions = _partitions(cluster, partition)
        total = sum(end for number, (_, end) in cluster.ends("journal").items() if number in partitions)
    with _progress(total) as progress:
        audited = audit_all(
            settings,
            partitions,
            asked,
            processes=min(processes or os.cpu_count() or 1, len(partitions)),
            rate=rate,
            progress=progress,
        )
    if as_json:
        output.emit(report.to_json(audited))
    else:
        report.show(audited)
    if not report.is_ok(audited):
        raise typer.Exit(exit_codes.FAILED)


def _partitions(cluster: Cluster, wanted: Sequence[int] | None) -> list[int]:
    """The partitions to audit. Raises typer.BadParameter for one that the journal does not have."""
    known = range(cluster.partitions("journal"))
    wrong = [number for number in wanted or () if number not in known]
    if wrong:
        raise typer.BadParameter(f"journal has the partitions 0 to {known[-1]}", param_hint="--partition")
    return sorted(set(wanted)) if wanted else list(known)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar with the time left, on a terminal."""
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    shown = output.console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as progress:
        task = progress.add_task("folding the journal again", total=total)
        yield lambda done: progress.update(task, completed=done)
