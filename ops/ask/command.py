"""`refrain ask`: one question or a file of them, asked through Kafka and answered here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.choices import one_of
from refrain.ops.terminal.options import settings_of
from refrain.streams.errors import FileUnreadable

if TYPE_CHECKING:
    from refrain.ops.ask.client import AskReply, Client
    from refrain.schemas.requests import Request
    from refrain.schemas.responses import DecisionSummary

MODES = ("use", "observe", "refresh", "bypass", "only")
QUESTION_CHARS = 56
GUARD_REFUSED = "guard_refused"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ask)


def ask(
    context: typer.Context,
    question: Annotated[str | None, typer.Argument(help="The question.", show_default=False)] = None,
    file: Annotated[
        str | None,
        typer.Option(
            "--file",
            "-f",
            help="A question or a JSON request a line; - reads stdin.",
            show_default=False,
            metavar="FILE",
        ),
    ] = None,
    category: Annotated[str | None, typer.Option(help="Else the policy's rules decide.", show_default=False)] = None,
    tenant: Annotated[str, typer.Option(help="Tenants never share answers.")] = "default",
    model: Annotated[str, typer.Option(help="The model to ask on a miss.")] = "default",
    system: Annotated[str | None, typer.Option(help="A system prompt.", show_default=False)] = None,
    cache: Annotated[
        str, typer.Option(help=f"{' | '.join(MODES)}.", callback=one_of(MODES, "cache mode"), metavar="MODE")
    ] = "use",
    tag: Annotated[list[str] | None, typer.Option(help="Repeat for more.", show_default=False)] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="A document that the answer draws on; repeat for more.", show_default=False, metavar="ID[@VERSION]"
        ),
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="What the answer depends on and the body does not say; the value is JSON or a text.",
            show_default=False,
            metavar="NAME=VALUE",
        ),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(
            help="A header of the request; the response brings it back.", show_default=False, metavar="NAME=VALUE"
        ),
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for each answer.")] = 60.0,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Requests a second, for a file.", show_default=False)
    ] = None,
    in_flight: Annotated[int, typer.Option(min=1, help="Requests open at a time, for a file.")] = 64,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a question.")] = False,
) -> None:
    """Ask, wait, and print the answer with how it came about. Exit code 1 when one is missing or an error.

    [bold]Examples[/bold]

    refrain ask "How do I reverse a list in Python?"

    refrain ask "And my blood pressure?" --category medical --tenant acme --json

    refrain ask "What does the handbook say?" --source handbook@2026-03 --vary locale=de --header trace=t-17

    refrain ask --file questions.txt

    echo '{"question": "Hello?", "cache": "refresh"}' | refrain ask --file -
    """
    if (question is None) == (file is None):
        raise typer.BadParameter("give a question, or a file of them with --file", param_hint="QUESTION")
    from refrain.ops.ask.client import Client
    from refrain.ops.ask.pairs import read_headers, read_sources, read_vary
    from refrain.ops.ask.questions import Defaults, read_questions, request_of
    from refrain.schemas.requests import CacheMode

    settings = settings_of(context)
    defaults = Defaults(
        model, category, tenant, system, CacheMode(cache), tuple(tag or ()), read_sources(source), read_vary(vary)
    )
    headers = read_headers(header)
    if question is not None:
        try:
            requests = [request_of(question, defaults)]
        except ValueError as error:
            raise _bad_option(error) from error
    else:
        requests = read_questions(_lines(str(file)), defaults, str(file), lambda said: output.hint(f"warning: {said}"))
    with Client(settings, headers) as client:
        if file is None or as_json:
            replies = client.ask(requests, timeout_s=timeout, rate=rate, in_flight_max=in_flight)
        else:
            replies = _with_progress(client, requests, timeout, rate, in_flight)
    if as_json:
        for reply in replies:
            output.emit(_as_json(reply))
    elif file is None:
        _show_one(replies[0])
    else:
        _show_many(replies)
    if any(reply.response is None or reply.response.outcome == "error" for reply in replies):
        raise typer.Exit(exit_codes.FAILED)


def summary(reply: AskReply) -> str:
    """One line: outcome, category, similarity against threshold, age of the entry, latency, reason."""
    response = reply.response
    if response is None:
        return f"no answer: {reply.failure}"
    parts = [str(response.outcome)]
    decision = response.decision
    if decision is not None:
        parts.append(decision.category or "no category")
        if decision.similarity is not None:
            near = output.similarity(decision.similarity)
            parts.append(f"similarity {near} of {output.number(decision.threshold, 3)}")
        if decision.score is not None and decision.score != decision.similarity:
            parts.append(f"score {output.similarity(decision.score)}")
        if decision.entry_age_ms is not None:
            parts.append(f"{output.span(decision.entry_age_ms)} old")
    parts.append(output.span(reply.latency_ms))
    if decision is not None:
        parts.append(_reason(decision))
    return " · ".join(parts)


def _reason(decision: DecisionSummary) -> str:
    """The reason, and of a refusal by guards each guard with the words that decided."""
    refused = [f"{each.guard}{_quoted(each.words)}" for each in decision.guards if each.verdict == "refused"]
    if decision.reason != GUARD_REFUSED or not refused:
        return decision.reason
    return f"{decision.reason} by {', '.join(refused)}"


def _quoted(words: Sequence[str]) -> str:
    return f" ({', '.join(words)})" if words else ""


def totals(replies: Sequence[AskReply]) -> str:
    """One line over many: how many of each outcome, and the median latency of each."""
    groups: dict[str, list[float]] = {}
    for reply in replies:
        key = "no answer" if reply.response is None else str(reply.response.outcome)
        groups.setdefault(key, []).append(reply.latency_ms or 0.0)
    parts = [f"{len(times)} {key}{_median(key, times)}" for key, times in sorted(groups.items())]
    return f"{output.counted(len(replies), 'question')}: " + ", ".join(parts)


def _median(key: str, times: list[float]) -> str:
    return "" if key == "no answer" else f" (median {output.span(sorted(times)[len(times) // 2])})"


def _bad_option(error: ValueError) -> typer.BadParameter:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return typer.BadParameter(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    return typer.BadParameter(str(error))


def _lines(file: str) -> list[str]:
    from refrain.ops.data.whole import QUESTIONS_BYTES, whole_text

    if file != "-":
        return whole_text(file, QUESTIONS_BYTES).splitlines()
    try:
        return sys.stdin.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise FileUnreadable(f"{file} cannot be read: {why}") from error


def _with_progress(
    client: Client, requests: Sequence[Request], timeout: float, rate: float | None, in_flight: int
) -> list[AskReply]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    shown = output.console(stderr=True)
    columns = (TextColumn("asking"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=shown, disable=not shown.is_terminal, transient=True) as progress:
        task = progress.add_task("asking", total=len(requests))
        return client.ask(
            requests,
            timeout_s=timeout,
            rate=rate,
            in_flight_max=in_flight,
            on_response=lambda number, response, latency_ms: progress.advance(task),
        )


def _show_one(reply: AskReply) -> None:
    from refrain.ops.ask.evidence import sentences
    from refrain.ops.ask.questions import answer_of

    response = reply.response
    if response is not None and response.error is not None:
        output.hint(f"{response.error.code}: {response.error.message}")
    elif response is not None:
        output.say(answer_of(response.body))
    output.hint(summary(reply))
    for warning in response.warnings if response is not None else ():
        output.hint(f"warning: {warning}")
    if response is not None and response.decision is not None:
        for sentence in sentences(response.decision.guards, response.decision.head_weight):
            output.hint(sentence)


def _show_many(replies: Sequence[AskReply]) -> None:
    from refrain.ops.ask.questions import question_of

    rows = []
    for reply in replies:
        decision = reply.response.decision if reply.response is not None else None
        question = question_of(reply.request)
        if len(question) > QUESTION_CHARS:
            question = question[: QUESTION_CHARS - 1] + "…"
        rows.append(
            (
                question,
                (decision.category if decision is not None else None) or "-",
                "none" if reply.response is None else str(reply.response.outcome),
                output.similarity(decision.similarity if decision is not None else None),
                output.number(decision.threshold if decision is not None else None, 3),
                output.span(reply.latency_ms),
                _why(reply),
            )
        )
    output.table(("question", "category", "outcome", "similarity", "threshold", "latency", "reason"), rows)
    output.hint(totals(replies))


def _why(reply: AskReply) -> str:
    if reply.response is None:
        return reply.failure or ""
    if reply.response.error is not None:
        return f"{reply.response.error.code}: {reply.response.error.message}"
    return _reason(reply.response.decision) if reply.response.decision is not None else ""


def _as_json(reply: AskReply) -> dict[str, Any]:
    return {
        "number": reply.number,
        "latency_ms": None if reply.latency_ms is None else round(reply.latency_ms, 3),
        "failure": reply.failure,
        "response": None if reply.response is None else reply.response.model_dump(mode="json"),
    }
