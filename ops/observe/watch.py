"""`refrain watch`: follows responses, decisions or comparisons as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields, replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.known_names import NO_CATEGORY, check_names
from refrain.ops.terminal import output
from refrain.ops.terminal.choices import check_choice, one_of
from refrain.ops.terminal.moments import moment_ms
from refrain.ops.terminal.options import settings_of
from refrain.streams import time_of_day

if TYPE_CHECKING:
    from confluent_kafka import Message

    from refrain.ops.cluster.tail import Span
    from refrain.schemas.decisions import Decision
    from refrain.schemas.observations import Comparison
    from refrain.schemas.responses import Response

TOPICS = ("responses", "decisions", "comparisons")
COMPARISONS = "comparisons"
COMPARED = ("equal", "other")
NOT_TOLD = {
    "comparisons": (("request", "reason"), "give --decision or --entry"),
    "responses": (("model",), "watch decisions"),
}
"""By topic: what its records do not tell, and what to do instead."""
STAMP_CHARS = len("00:00:00  ")
Name = Annotated[str | None, typer.Option(show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


@dataclass(frozen=True)
class RecordFilter:
    """Filter of records by what they tell; None takes all."""

    tenant: str | None = None
    category: str | None = None
    outcome: str | None = None
    request: str | None = None
    decision: str | None = None
    entry: str | None = None
    reason: str | None = None
    model: str | None = None

    def takes(self, record: RecordFilter) -> bool:
        """Whether a record that tells this is shown; category `-` takes records of none."""
        told = replace(record, category=record.category or NO_CATEGORY)
        return all(getattr(self, each.name) in (None, getattr(told, each.name)) for each in fields(self))


def watch(
    context: typer.Context,
    topic: Annotated[
        str,
        typer.Argument(
            help="responses, decisions or comparisons.", callback=one_of(TOPICS, "topic to watch"), metavar="TOPIC"
        ),
    ],
    from_start: Annotated[bool, typer.Option("--from-start", help="From the oldest record that is kept.")] = False,
    since: Annotated[
        str | None, typer.Option(help="From a span back (10m, 2h) or a moment on.", show_default=False, metavar="TIME")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Before a span back or a moment.", show_default=False, metavar="TIME")
    ] = None,
    no_follow: Annotated[bool, typer.Option("--no-follow", help="Leave at the end, in the order of time.")] = False,
    tenant: Name = None,
    category: Annotated[str | None, typer.Option(help="- is none.", show_default=False)] = None,
    model: Name = None,
    outcome: Annotated[
        str | None,
        typer.Option(help="hit, miss, coalesced, bypass or error; of comparisons equal or other.", show_default=False),
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Such as below_threshold.", show_default=False)] = None,
    request: Annotated[str | None, typer.Option(help="The client's request_id.", show_default=False)] = None,
    decision: Annotated[str | None, typer.Option(help="The id of a decision.", show_default=False)] = None,
    entry: Annotated[str | None, typer.Option(help="The id of the entry that served.", show_default=False)] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Leave after so many.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The records as they are, one a line.")] = False,
) -> None:
    """Follow responses, decisions or comparisons until Ctrl-C. Only responses carry text.

    Comparisons say how the answers that the cache would have given compare with the model's (`cache: observe`).

    [bold]Examples[/bold]

    refrain watch decisions

    refrain watch decisions --outcome miss --category code --json

    refrain watch decisions --since 2h --until 1h --no-follow --reason guard_refused

    refrain watch responses --from-start --count 10

    refrain watch comparisons --outcome other --category code
    """
    from refrain.ops.cluster.tail import follow

    now_ms = time_of_day.now_ms()
    span = span_of(from_start, since, until, no_follow, now_ms)
    wanted = RecordFilter(tenant, category, outcome, request, decision, entry, reason, model)
    check_filter(topic, wanted)
    settings = settings_of(context)
    check_names(settings, category=category, tenant=tenant, model=model, or_none=True)
    matching = (
        (message.timestamp()[1], line)
        for message in follow(settings, topic, span)
        if (line := record_line(topic, message, wanted, as_json)) is not None
    )
    try:
        for _, line in islice(sorted(matching) if no_follow else matching, count):
            output.say(line) if as_json else output.say_columns(line, STAMP_CHARS)
    except KeyboardInterrupt:
        return


def span_of(from_start: bool, since: str | None, until: str | None, no_follow: bool, now_ms: int) -> Span:
    """What of the topic is read. Raises typer.BadParameter for what says nothing, or contradicts itself."""
    from refrain.ops.cluster.tail import Span

    if from_start and since is not None:
        raise typer.BadParameter("give --since or --from-start, not both", param_hint="--since")
    since_ms = moment_ms(since, "--since", now_ms)
    until_ms = moment_ms(until, "--until", now_ms)
    if until_ms is not None and until_ms <= (since_ms or 0):
        raise typer.BadParameter(f"{until} is not after --since, which is {since}", param_hint="--until")
    if since is None and not from_start and (no_follow or (until_ms is not None and until_ms <= now_ms)):
        raise typer.BadParameter("nothing new is waited for: say from when on with --since or --from-start")
    return Span(from_start, since_ms, until_ms, no_follow)


def check_filter(topic: str, wanted: RecordFilter) -> None:
    """Raises typer.BadParameter for an outcome or reason that records of the topic never have."""
    from refrain.schemas.decisions import Reason
    from refrain.schemas.responses import Outcome

    outcomes = COMPARED if topic == COMPARISONS else [each.value for each in Outcome]
    if wanted.outcome is not None:
        check_choice(wanted.outcome, outcomes, f"outcome of {topic}", "--outcome")
    untold, instead = NOT_TOLD.get(topic, ((), ""))
    for name in untold:
        if getattr(wanted, name) is not None:
            raise typer.BadParameter(f"{topic} tell no {name}: {instead}", param_hint=f"--{name}")
    if wanted.reason is not None:
        check_choice(wanted.reason, [each.value for each in Reason], "reason", "--reason")


def record_line(topic: str, message: Message, wanted: RecordFilter, as_json: bool) -> str | None:
    """The line for a record, None when it is not wanted."""
    from pydantic import ValidationError

    value = message.value() or b""
    stamp = time.strftime("%H:%M:%S", time.localtime(message.timestamp()[1] / 1_000))
    try:
        takes, line = _read(topic, value, wanted)
    except ValidationError:
        return None if as_json else f"{stamp}  unreadable record {message.partition()}-{message.offset()}"
    if not takes:
        return None
    return value.decode("utf-8", "replace") if as_json else f"{stamp}  {line}"


def _read(topic: str, value: bytes, wanted: RecordFilter) -> tuple[bool, str]:
    """Whether the record is wanted, and its line. Raises pydantic.ValidationError."""
    from refrain.schemas.decisions import Decision
    from refrain.schemas.observations import Comparison
    from refrain.schemas.responses import Response

    if topic == "decisions":
        d = Decision.decode(value)
        told = RecordFilter(d.tenant, d.category, d.outcome, d.request_id, d.id, d.entry_id, d.reason, d.model)
        return wanted.takes(told), _decision(d)
    if topic == COMPARISONS:
        c = Comparison.decode(value)
        told = RecordFilter(c.tenant, c.category, _compared(c), None, c.decision_id, c.entry_id, None, c.model)
        return wanted.takes(told), _comparison(c)
    r = Response.decode(value)
    told = RecordFilter(r.tenant, None, r.outcome, r.request_id)
    if r.decision is not None:
        d_ = r.decision
        told = replace(told, category=d_.category, decision=d_.id, entry=d_.entry_id, reason=d_.reason)
    return wanted.takes(told), _response(r)


def _decision(d: Decision) -> str:
    return _columns(d.outcome, d.tenant, d.category, d.similarity, d.threshold, d.entry_age_ms, f"{d.reason}  {d.id}")


def _comparison(c: Comparison) -> str:
    """Its decision comes last, as in the line of a decision."""
    near = f"{c.similarity:.4f}" if c.similarity is not None else c.not_compared or "-"
    return f"{_compared(c):<9}  {c.tenant:<12}  {c.category:<14}  {near:<13}  {c.model}  {c.decision_id}"


def _compared(c: Comparison) -> str:
    return "equal" if c.equal else "other"


def _response(r: Response) -> str:
    d = r.decision
    if d is None:
        why = f"{r.error.code}: {r.error.message}" if r.error is not None else ""
        return _columns(r.outcome, r.tenant, None, None, None, None, why)
    return _columns(r.outcome, r.tenant, d.category, d.similarity, d.threshold, d.entry_age_ms, f"{d.reason}  {d.id}")


def _columns(
    outcome: str,
    tenant: str | None,
    category: str | None,
    similarity: float | None,
    threshold: float | None,
    age_ms: int | None,
    rest: str,
) -> str:
    near = "-" if similarity is None else f"{output.similarity(similarity)}/{output.number(threshold, 3)}"
    age = "-" if age_ms is None else f"{output.span(age_ms)} old"
    return f"{outcome:<9}  {tenant or '-':<12}  {category or '-':<14}  {near:<13}  {age:<12}  {rest}"
