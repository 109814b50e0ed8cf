"""`refrain watch`: follows responses, decisions or comparisons as they come."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of

if TYPE_CHECKING:
    from confluent_kafka import Message

    from refrain.schemas.decisions import Decision
    from refrain.schemas.observations import Comparison
    from refrain.schemas.responses import Response

TOPICS = ("responses", "decisions", "comparisons")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(watch)


def _topic(value: str) -> str:
    if value not in TOPICS:
        raise typer.BadParameter(f"choose from {', '.join(TOPICS)}")
    return value


@dataclass(frozen=True)
class RecordFilter:
    """Filter of records; None takes all."""

    tenant: str | None = None
    category: str | None = None
    outcome: str | None = None

    def takes(self, tenant: str | None, category: str | None, outcome: str) -> bool:
        """Whether a record of that kind is shown."""
        pairs = ((self.tenant, tenant), (self.category, category), (self.outcome, outcome))
        return all(want is None or want == have for want, have in pairs)


def watch(
    context: typer.Context,
    topic: Annotated[
        str, typer.Argument(help="responses, decisions or comparisons.", callback=_topic, metavar="TOPIC")
    ],
    from_start: Annotated[bool, typer.Option("--from-start", help="From the oldest record that is kept.")] = False,
    tenant: Annotated[str | None, typer.Option(show_default=False)] = None,
    category: Annotated[str | None, typer.Option(show_default=False)] = None,
    outcome: Annotated[
        str | None,
        typer.Option(help="hit, miss, coalesced, bypass or error; of comparisons equal or other.", show_default=False),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Leave after so many.", show_default=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The records as they are, one a line.")] = False,
) -> None:
    """Follow responses, decisions or comparisons until Ctrl-C. Only responses carry text.

    Comparisons say how the answers that the cache would have given compare with the model's (`cache: observe`).

    [bold]Examples[/bold]

    refrain watch decisions

    refrain watch decisions --outcome miss --category code --json

    refrain watch responses --from-start --count 10

    refrain watch comparisons --outcome other --category code
    """
    from refrain.ops.cluster.tail import follow

    settings = settings_of(context)
    record_filter = RecordFilter(tenant, category, outcome)
    left = count
    try:
        for message in follow(settings, topic, from_start=from_start):
            line = record_line(topic, message, record_filter, as_json)
            if line is None:
                continue
            output.say(line)
            left = None if left is None else left - 1
            if left == 0:
                return
    except KeyboardInterrupt:
        return


def record_line(topic: str, message: Message, record_filter: RecordFilter, as_json: bool) -> str | None:
    """The line for a record, None when it is not wanted."""
    from pydantic import ValidationError

    value = message.value() or b""
    stamp = time.strftime("%H:%M:%S", time.localtime(message.timestamp()[1] / 1_000))
    try:
        takes, line = _read(topic, value, record_filter)
    except ValidationError:
        return None if as_json else f"{stamp}  unreadable record {message.partition()}-{message.offset()}"
    if not takes:
        return None
    return value.decode("utf-8", "replace") if as_json else f"{stamp}  {line}"


def _read(topic: str, value: bytes, record_filter: RecordFilter) -> tuple[bool, str]:
    """Whether the record is wanted, and its line. Raises pydantic.ValidationError."""
    from refrain.schemas.decisions import Decision
    from refrain.schemas.observations import Comparison
    from refrain.schemas.responses import Response

    if topic == "decisions":
        decision = Decision.decode(value)
        return record_filter.takes(decision.tenant, decision.category, decision.outcome), _decision(decision)
    if topic == "comparisons":
        comparison = Comparison.decode(value)
        takes = record_filter.takes(comparison.tenant, comparison.category, _compared(comparison))
        return takes, _comparison(comparison)
    response = Response.decode(value)
    category = response.decision.category if response.decision is not None else None
    return record_filter.takes(response.tenant, category, response.outcome), _response(response)


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
