"""`refrain served`: every request that was served from a source, an entry, a policy version or a category."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from refrain.ops.control.known_names import NO_CATEGORY
from refrain.ops.explain.lines import digits, moment, safe
from refrain.ops.explain.moments import between
from refrain.ops.explain.uses import ASKED_BY, Wanted, uses
from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.schemas.decisions import Decision

FIELDS = (
    "time_ms", "decision_id", "request_id", "tenant", "category", "model", "outcome", "reason", "entry_id",
    "forward_id", "similarity", "threshold", "policy_version",
)  # fmt: skip
COLUMNS = ("time", "decision", "request", "tenant", "category", "outcome", "reason", "from", "similarity", "policy")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What begins a formula for a spreadsheet."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(served)


def served(
    context: typer.Context,
    source: Annotated[str | None, typer.Option(help="Whose answer draws on this.", show_default=False)] = None,
    entry: Annotated[str | None, typer.Option(help="That this entry served.", show_default=False)] = None,
    policy: Annotated[
        int | None, typer.Option(min=0, help="Decided by this version of the policy.", show_default=False)
    ] = None,
    category: Annotated[str | None, typer.Option(help="Of this category; - is none.", show_default=False)] = None,
    tenant: Annotated[str | None, typer.Option(help="Asked by this tenant.", show_default=False)] = None,
    model: Annotated[str | None, typer.Option(help="Asked of this model.", show_default=False)] = None,
    since: Annotated[str | None, typer.Option("--from", help="From this moment on.", show_default=False)] = None,
    to: Annotated[str | None, typer.Option("--to", help="Before this moment.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a request.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Comma-separated values under a line of names.")] = False,
) -> None:
    """Show every request that was answered from what is named, by the cache or by the model. No text is shown.

    [bold]Examples[/bold]

    refrain served --source doc-7 --csv > drew-on-doc-7.csv

    refrain served --entry 3-1042-Zx81kQ_f --from 2026-03-01
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.cluster.scan import records
    from refrain.ops.control.known_names import check_names_on
    from refrain.streams.kafka.cluster import KafkaCluster

    if as_json and as_csv:
        raise typer.BadParameter("give --json or --csv, not both")
    if all(each is None for each in (source, entry, policy, category, tenant, model)):
        raise typer.BadParameter(f"nothing is asked for: give {ASKED_BY}")
    settings = settings_of(context)
    wanted = Wanted(source, entry, policy, category, between(since, to), tenant, model)
    reach(settings)
    with KafkaCluster(settings) as cluster:
        check_names_on(cluster, category=category, tenant=tenant, model=model, or_none=True)
        found = uses(cluster, wanted, records)
        if as_json:
            for each in found:
                output.emit(fields(each))
        elif as_csv:
            write_csv(found)
        else:
            output.table(COLUMNS, map(_row, found))


def fields(decision: Decision) -> dict[str, Any]:
    """A request for programs."""
    plain = decision.model_dump(mode="json") | {"decision_id": decision.id}
    return {name: plain[name] for name in FIELDS}


def write_csv(found: Iterable[Decision]) -> None:
    """Write requests as CSV to stdout. What a client named is no formula for a spreadsheet."""
    writer = csv.DictWriter(sys.stdout, FIELDS, lineterminator="\n")
    writer.writeheader()
    for each in found:
        writer.writerow({name: _cell(value) for name, value in fields(each).items()})


def _cell(value: Any) -> Any:
    return "'" + value if isinstance(value, str) and value.startswith(FORMULA) else value


def _row(each: Decision) -> tuple[object, ...]:
    drawn, category = each.entry_id or each.forward_id or "", each.category or NO_CATEGORY
    return (
        moment(each.time_ms), each.id, safe(each.request_id or ""), safe(each.tenant), safe(category),
        each.outcome.value, each.reason.value, drawn, digits(each.similarity), each.policy_version,
    )  # fmt: skip
