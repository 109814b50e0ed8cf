"""`refrain topics`: create, list and check the topics of the table, and print their ACLs."""

from __future__ import annotations

from typing import Annotated

import typer

from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.ops.topics.acl_command import acls

topics = typer.Typer(no_args_is_help=True, help="Create, list and check the topics; print their ACLs.")
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    topics.command()(acls)
    app.add_typer(topics, name="topics")


@topics.command()
def create(
    context: typer.Context,
    partitions_journal: Annotated[
        int | None,
        typer.Option(min=1, max=4096, help="Partitions of journal, documents and decisions: fixed at creation."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Create the topics that are missing. What exists is left as it is.

    [bold]Examples[/bold]

    refrain topics create

    refrain topics create --partitions-journal 64

    REFRAIN_REPLICATION=3 REFRAIN_MIN_INSYNC=2 refrain topics create
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.topics.admin import compare, create_missing, describe
    from refrain.schemas.topics import SHARDED

    settings = settings_of(context)
    admin = reach(settings)
    made = create_missing(admin, settings, partitions_journal)
    found = describe(admin, settings)
    differs: dict[str, list[str]] = {row.name: [] for row in found.values()}
    for finding in compare(found, settings):
        differs[finding.topic].append(finding.problem)
    for row in (found[name] for name in SHARDED):
        if partitions_journal not in (None, row.partitions):
            differs[row.name].append(f"{row.partitions} partitions, not {partitions_journal}: fixed at creation")
    rows = [
        (row.name, "created" if made.get(row.name) else "differs" if differs[row.name] else "exists", row.partitions)
        for row in found.values()
    ]
    if as_json:
        for name, state, partitions in rows:
            output.emit({"topic": name, "state": state, "partitions": partitions, "differs": differs[name]})
    else:
        output.table(
            ("topic", "state", "partitions", "differs"), [(*row_, "; ".join(differs[row_[0]])) for row_ in rows]
        )
    created = sum(made.values())
    output.hint(f"{created} created, {len(made) - created} existed already")
    if any(differs.values()):
        output.hint("some differ: `refrain topics check` says what to do")


@topics.command(name="list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """Show the table of topics, with who writes and who reads each. Asks no broker.

    [bold]Example[/bold]

    refrain topics list --json
    """
    from refrain.ops.topics.table import topics_of

    settings = settings_of(context)
    topics = topics_of(settings)
    if as_json:
        for topic in topics:
            output.emit(
                {
                    "topic": settings.prefix + topic.name,
                    "key": topic.key,
                    "message": topic.message,
                    "partitions": topic.partitions,
                    "config": {**topic.config(), "min.insync.replicas": str(settings.min_insync)},
                    "replication": settings.replication,
                    "writers": topic.writers,
                    "readers": topic.readers,
                }
            )
        return
    output.table(
        ("topic", "key", "message", "parts", "cleanup", "keeps", "writers", "readers"),
        [
            (
                settings.prefix + t.name,
                t.key,
                t.message,
                t.partitions,
                t.cleanup,
                "the last of each key" if t.retention_ms is None else output.span(t.retention_ms),
                " ".join(t.writers),
                " ".join(t.readers),
            )
            for t in topics
        ],
    )


@topics.command()
def check(context: typer.Context, as_json: Json = False) -> None:
    """Compare the topics of the cluster with the table. Exit code 1 when something is wrong.

    Compared are partitions (journal, documents and decisions have the same number), cleanup, retention, size limit,
    timestamps and replicas.

    [bold]Example[/bold]

    refrain topics check || refrain topics create
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.topics.admin import compare, describe

    settings = settings_of(context)
    found = describe(reach(settings), settings)
    findings = compare(found, settings)
    if as_json:
        for finding in findings:
            output.emit(
                {
                    "topic": finding.topic,
                    "problem": finding.problem,
                    "serious": finding.serious,
                    "remedy": finding.remedy,
                }
            )
    elif findings:
        output.table(
            ("topic", "state", "problem", "what to do"),
            [(f.topic, "fail" if f.serious else "warn", f.problem, f.remedy) for f in findings],
        )
    else:
        output.say(f"all {len(found)} topics are as they should be")
    if any(finding.serious for finding in findings):
        raise typer.Exit(exit_codes.FAILED)
