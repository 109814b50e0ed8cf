"""`refrain served`: every request that was served from a source, an entry, a policy version or a category."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.ops.control.known_names import NO_CATEGORY
from refrain.ops.explain.journal import TOPIC as JOURNAL
from refrain.ops.explain.lines import digits, moment
from refrain.ops.explain.policies import CONTROL, policy_of
from refrain.ops.explain.subject import TOPIC as DECISIONS
from refrain.ops.explain.uses import ASKED_BY, ENTRY_FORM, Wanted, uses
from refrain.ops.terminal import output
from refrain.ops.terminal.moments import between
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.output import safe
from refrain.schemas.decisions import Decision
from refrain.streams.errors import WrongSetup
from refrain.streams.messaging.ids import parse_entry_id

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Cluster

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
    if entry is not None and parse_entry_id(entry) is None:
        raise typer.BadParameter(f"{entry!r} is no id of an entry: those are {ENTRY_FORM}", param_hint="--entry")
    settings = settings_of(context)
    wanted = Wanted(source, entry, policy, category, between(since, to), tenant, model)
    reach(settings)
    with KafkaCluster(settings) as cluster:
        check_names_on(cluster, category=category, tenant=tenant, model=model, or_none=True)
        check_policy(cluster, policy)
        found = _Counted(uses(cluster, wanted, records))
        if as_json:
            for each in found:
                output.emit(fields(each))
        elif as_csv:
            write_csv(found)
        else:
            output.table(COLUMNS, map(_row, found), repeated=(COLUMNS.index("decision"),))
        for hint in (*gone(cluster, wanted), *([] if found.count else ["no request was answered from it"])):
            output.hint(hint)


class _Counted:
    """Counts requests as they pass."""

    def __init__(self, found: Iterable[Decision]) -> None:
        self._found = found
        self.count = 0

    def __iter__(self) -> Iterator[Decision]:
        for each in self._found:
            self.count += 1
            yield each


def check_policy(cluster: Cluster, version: int | None) -> None:
    """Raises typer.BadParameter for a version that no policy has, as far as `control` holds it and may be read."""
    if version is None:
        return
    try:
        known = version < cluster.ends(CONTROL)[0][0] or policy_of(cluster, version) is not None
    except WrongSetup:
        return
    if not known:
        raise typer.BadParameter(
            f"no policy has the version {version}: `refrain policies history` lists them", param_hint="--policy"
        )


def gone(cluster: Cluster, wanted: Wanted) -> Iterator[str]:
    """What cannot be shown, since retention took it."""
    if any(first > 0 for first, _ in cluster.ends(DECISIONS).values()):
        yield "retention took the oldest decisions: who was served before is not shown"
    if wanted.source is not None and any(first > 0 for first, _ in cluster.ends(JOURNAL).values()):
        yield "retention took the oldest questions: what they drew on is not known"


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
