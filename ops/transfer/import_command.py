"""`refrain import`: entries that another cache has kept, admitted through the journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.options import Who, Why, Yes, confirm, name
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.progress import progress_bar
from refrain.ops.transfer.streams import STANDARD
from refrain.streams import time_of_day

if TYPE_CHECKING:
    from refrain.ops.control.client import ControlClient
    from refrain.ops.transfer.file import ExportFile
    from refrain.ops.transfer.importing import Plan, Terms
    from refrain.schemas.control import ImportEntry
    from refrain.schemas.policy import Policy
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.settings import Settings

REFUSED_SHOWN_MAX = 10


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="import")(import_)


def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="The export to read; - for standard input.", metavar="FILE")],
    keep_age: Annotated[
        bool, typer.Option("--keep-age", help="Entries are as old as they were; else their lifetime begins anew.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check all, tell what would be kept, and stop.")] = False,
    yes: Yes = False,
    who: Who = None,
    why: Why = "",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that may pass without any being kept.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Keep the entries of an export, as answers of this cache. The whole file is checked before anything is written.

    Vectors must be of this cache's embedder; tenants, quotas and the policy in force hold. An answer that is kept here
    for the same text stays: what is imported twice is kept once. Each entry is a command, in `control` and in
    `history`. Exit code 1 when some were not kept.

    [bold]Examples[/bold]

    refrain import acme.jsonl.zst --dry-run

    refrain import acme.jsonl.zst --keep-age --why "move to the new cluster"
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.transfer.file import ExportFile
    from refrain.ops.transfer.importing import Terms, check_header, plan_of
    from refrain.ops.transfer.streams import rereadable

    if file == STANDARD and not (yes or dry_run):
        raise typer.BadParameter("what is read from standard input is not asked about: say --yes", param_hint="FILE")
    settings, author = settings_of(context), name(who)
    with rereadable(file) as path:
        export = ExportFile(path, file)
        client = ControlClient(settings)
        embedder = _embedder(settings)
        check_header(export, file, embedder)
        terms = Terms(_policy(client), embedder, _held(client.cluster), keep_age, author, why, time_of_day.now_ms())
        plan = plan_of(export, file, terms)
        if not as_json:
            _show(plan)
        kept, refused = None, {}
        if plan.sent and not dry_run:
            confirm(f"Keep {output.counted(plan.sent, 'entry', 'entries')}?", yes)
            refused = _carry_out(settings, client.cluster, export, file, terms, plan, timeout)
            kept = len(_held(client.cluster) & plan.keys)
    _tell(plan, kept, refused, as_json=as_json)
    if kept is not None and kept < plan.sent:
        raise typer.Exit(exit_codes.FAILED)


def _embedder(settings: Settings) -> str:
    from refrain.streams.models.loading import load_embedder

    return load_embedder(settings.embedding, settings.state_dir / "models").identity


def _policy(client: ControlClient) -> Policy:
    from refrain.streams.errors import WrongSetup

    found = client.in_force()
    if found is None:
        raise WrongSetup("no policy is in force: nothing is kept without one; see `refrain policies apply`")
    return found.policy


def _held(cluster: KafkaCluster) -> frozenset[bytes]:
    from refrain.ops.cluster.scan import records
    from refrain.ops.transfer.importing import held_keys

    return held_keys(records(cluster, "documents", "reading documents"))


def _carry_out(
    settings: Settings, cluster: KafkaCluster, export: ExportFile, file: str, terms: Terms, plan: Plan, timeout_s: float
) -> dict[int, str]:
    """Send the commands and wait until they are folded; returns why some were refused, by version."""
    from refrain.ops.control.many import ManyCommands
    from refrain.ops.transfer.importing import commands_of

    many = ManyCommands(settings, cluster)
    with progress_bar("sending entries", plan.sent) as progress:
        many.send(_with_shards(commands_of(export, file, terms), terms.policy, cluster.partitions("journal")), progress)
    with progress_bar("keeping entries", plan.sent) as progress:
        return many.wait(timeout_s, progress)


def _with_shards(commands: Iterator[ImportEntry], policy: Policy, shards: int) -> Iterator[tuple[ImportEntry, int]]:
    """The commands, each with the shard that govern gives it to."""
    from refrain.streams.kafka.partitioner import partition_of
    from refrain.streams.messaging.shards import shard_key, space_of

    for command in commands:
        category = policy.categories[command.category]
        key = shard_key(space_of(command, category), command.category, command.context, category.slices)
        yield command, partition_of(key, shards)


def _show(plan: Plan) -> None:
    """Tell what would be kept, and what not."""
    rows = [(tenant, category, count) for (tenant, category), count in sorted(plan.counts.items())]
    if rows:
        output.table(("tenant", "category", "entries"), rows)
    for count, why in (
        (plan.kept_already, "kept here already, or twice in the file: left as they are"),
        (plan.expired, "over their lifetime"),
        (plan.too_large, "larger than a command may be"),
    ):
        if count:
            output.hint(f"{output.counted(count, 'entry', 'entries')} {why}")


def _tell(plan: Plan, kept: int | None, refused: dict[int, str], *, as_json: bool) -> None:
    if as_json:
        output.emit(
            {
                "sent": 0 if kept is None else plan.sent,
                "kept": kept,
                "would_be_sent": plan.sent,
                "kept_already": plan.kept_already,
                "expired": plan.expired,
                "too_large": plan.too_large,
                "refused": {str(version): why for version, why in sorted(refused.items())},
            }
        )
        return
    for version, why in sorted(refused.items())[:REFUSED_SHOWN_MAX]:
        output.hint(f"govern refused command {version}: {why}")
    if kept is None:
        output.hint("nothing was sent")
        return
    output.say(f"{kept} of {output.counted(plan.sent, 'entry', 'entries')} kept")
    if kept < plan.sent:
        output.hint("the others had no room, were judged wrong here, or are of a kind that the policy does not keep")
