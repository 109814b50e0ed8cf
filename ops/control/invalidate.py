"""`refrain invalidate`: invalidate entries by tenant, category, source, age, id or meaning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.options import Timeout, Who, Why, Yes, confirm, name, send_and_wait
from refrain.ops.terminal import output
from refrain.ops.terminal.options import read_option, settings_of
from refrain.streams import time_of_day

if TYPE_CHECKING:
    from refrain.ops.control.matching import MatchingEntry
    from refrain.schemas.base import Near
    from refrain.schemas.control import Invalidate
    from refrain.streams.kafka.interface import Cluster
    from refrain.streams.settings import Settings

SHOWN_MAX = 10
"""Ids that a dry run lists; all with --json."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(invalidate)


def invalidate(
    context: typer.Context,
    entry: Annotated[str | None, typer.Option(help="One entry, by its id.", show_default=False)] = None,
    tag: Annotated[str | None, typer.Option(help="Entries that carry it.", show_default=False)] = None,
    source: Annotated[
        str | None, typer.Option(help="Entries that draw on this document.", show_default=False, metavar="ID")
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="The current version of the source: its entries stay.", show_default=False, metavar="VERSION"
        ),
    ] = None,
    tenant: Annotated[str | None, typer.Option(show_default=False)] = None,
    category: Annotated[str | None, typer.Option(show_default=False)] = None,
    model: Annotated[str | None, typer.Option(show_default=False)] = None,
    older_than: Annotated[
        str | None, typer.Option(help="Entries of that age: 30s, 10m, 2h, 7d.", show_default=False, metavar="SPAN")
    ] = None,
    near: Annotated[
        str | None, typer.Option(help="Entries whose question is near this one.", show_default=False, metavar="TEXT")
    ] = None,
    similarity: Annotated[float, typer.Option(min=0.01, max=1.0, help="How near: cosine similarity.")] = 0.9,
    before: Annotated[
        str | None,
        typer.Option(help="Only entries from before this moment (ISO 8601).", show_default=False, metavar="TIME"),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every entry: where nothing else is named.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would go, and leave it.")] = False,
    yes: Yes = False,
    who: Who = None,
    why: Why = "",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, with the ids of all entries.")] = False,
    timeout: Timeout = 30.0,
) -> None:
    """Withdraw the entries that match all that is named; tells how many and asks first.

    What is admitted after the command stays. From the moment that it reports, no worker serves a withdrawn answer,
    also after a restart; an answer that was on its way to a matching question is delivered and not kept. Exit code 75
    when a shard has not acknowledged it in time: it stands, and is taken when the shard's worker runs.

    [bold]Examples[/bold]

    refrain invalidate --source handbook --keep 2026-03 --why "new edition"

    refrain invalidate --category finance --older-than 2h --dry-run

    refrain invalidate --near "What are your opening hours?" --similarity 0.85

    refrain invalidate --all --yes
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.control.known_names import check_names_on
    from refrain.ops.terminal.durations import read_span_ms
    from refrain.ops.terminal.moments import moment_ms

    selectors = (entry, tag, source, tenant, category, model, older_than, near)
    if everything and any(each is not None for each in selectors):
        raise typer.BadParameter("it is for everything: leave it out to withdraw what the others name",
                                 param_hint="--all")  # fmt: skip
    if not everything and all(each is None for each in selectors):
        raise typer.BadParameter(
            "name what goes (--entry, --tag, --source, --tenant, --category, --model, --older-than, --near), or --all"
        )
    fields: dict[str, object] = {
        "entry_id": entry, "tag": tag, "source_id": source, "keep_version": keep, "tenant": tenant,
        "category": category, "model": model, "all": everything,
        "before_ms": moment_ms(before, "--before"),
        "older_than_ms": read_option(read_span_ms, older_than, "--older-than"),
        # The model is loaded when all else is right and the broker answers.
        "near": None if near is None else {"embedder": "", "vector": "", "similarity": similarity},
    }  # fmt: skip
    command = _command(who=name(who), why=why, **fields)
    settings = settings_of(context)
    client = ControlClient(settings)
    check_names_on(client.cluster, category=category, tenant=tenant, model=model)
    if near is not None:
        command = command.model_copy(update={"near": _near(settings, near, similarity)})
    found = _matching_entries(client.cluster, command)
    if not as_json:
        _print_entries(found)
    if not dry_run:
        confirm(f"Withdraw {output.counted(len(found), 'entry', 'entries')}?", yes)
    version = None if dry_run else send_and_wait(client, command, timeout)
    if as_json:
        output.emit({"version": version, "entries": len(found), "by": _by(found), "ids": [each.id for each in found]})
    elif version is not None:
        output.hint(f"withdrawn everywhere, since version {version}")
        output.say(str(version))


def _command(**fields: object) -> Invalidate:
    from pydantic import ValidationError

    from refrain.schemas.control import Invalidate

    try:
        return Invalidate.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise typer.BadParameter(where + first["msg"].removeprefix("Value error, ")) from error


def _near(settings: Settings, text: str, similarity: float) -> Near:
    """Query by meaning: the question's vector by the embedder of the settings, which must be that of classify."""
    from refrain.schemas.base import Near
    from refrain.streams.classify.framing import frame
    from refrain.streams.models.loading import load_embedder
    from refrain.streams.vectors import encode, quantise

    embedder = load_embedder(settings.embedding, settings.state_dir / "models")
    try:
        vector = quantise(embedder.embed([frame(text, embedder).head])[0])
    except ValueError as error:
        raise typer.BadParameter("the embedder finds no meaning in it", param_hint="--near") from error
    return Near(embedder=embedder.identity, vector=encode(vector), similarity=similarity)


def _matching_entries(cluster: Cluster, command: Invalidate) -> list[MatchingEntry]:
    from refrain.ops.cluster.scan import records
    from refrain.ops.control.matching import matching, rule_of

    rule = rule_of(command, time_of_day.now_ms())
    return matching(records(cluster, "documents", "reading documents"), rule, cluster.topic_id("journal"))


def _by(found: Sequence[MatchingEntry]) -> list[dict[str, object]]:
    counts = Counter((each.tenant, each.category) for each in found)
    return [{"tenant": tenant, "category": category, "entries": n} for (tenant, category), n in sorted(counts.items())]


def _print_entries(found: Sequence[MatchingEntry]) -> None:
    output.hint(f"{output.counted(len(found), 'entry', 'entries')} would go")
    if not found:
        output.hint("answers that are on their way to a matching question are withdrawn as well")
        return
    output.table(("tenant", "category", "entries"), [tuple(row.values()) for row in _by(found)])
    shown = ", ".join(each.id for each in found[:SHOWN_MAX])
    more = len(found) - SHOWN_MAX
    output.hint(f"ids: {shown}" + (f" and {more} more (--json lists all)" if more > 0 else ""))
