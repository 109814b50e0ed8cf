"""`refrain judge`: judge an answer right or wrong, and list who else got it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from refrain.ops.control.options import Timeout, Who, name, send_and_wait
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.ops.terminal.standard_input import read_text
from refrain.streams import time_of_day

if TYPE_CHECKING:
    from refrain.ops.control.same_answer import ServedAnswer
    from refrain.schemas.decisions import Decision


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(judge)


def judge(
    context: typer.Context,
    decision: Annotated[
        str, typer.Argument(help="The id of a decision: every response names its own. - reads a response from stdin.")
    ],
    correct: Annotated[
        bool | None, typer.Option("--right/--wrong", help="Whether the answer was right.", show_default=False)
    ] = None,
    why: Annotated[str, typer.Option(help="Why; it is kept with the judgement. A wrong one needs it.")] = "",
    who: Who = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
    timeout: Timeout = 30.0,
) -> None:
    """Judge the answer that a request got. A wrong one is withdrawn everywhere and not kept again.

    Lists every request that was answered from the same entry, or waited for the same answer of the model. Exit code 1
    when no such decision is known, or its answer has nothing to do with the cache; 75 when a shard has not
    acknowledged it in time.

    [bold]Examples[/bold]

    refrain judge 3-1204-8f0a61c2d93b --wrong --why "that endpoint was removed"

    refrain judge 3-1204-8f0a61c2d93b --right

    refrain ask "How do I reverse a list in Python?" --json | refrain judge - --right
    """
    if correct is None:
        raise typer.BadParameter("say --right or --wrong", param_hint="--right/--wrong")
    if not correct and not why:
        raise typer.BadParameter("say why the answer is wrong", param_hint="--why")
    from refrain.ops.cluster.decisions import find_decision, sought_in
    from refrain.ops.control.client import ControlClient
    from refrain.ops.control.same_answer import answer_of, requests_served
    from refrain.schemas.control import Judge
    from refrain.streams.messaging.ids import parse_request_id

    sought = sought_in(read_text() if decision == "-" else decision)
    if parse_request_id(sought.id) is None:
        raise typer.BadParameter(f"{sought.id!r} is no id of a decision: that is PARTITION-OFFSET-TAG")
    settings = settings_of(context)
    client = ControlClient(settings)
    found = find_decision(client.cluster, sought, time_of_day.now_ms, settings.classify.topic)
    if found is None:
        output.hint(
            f"no decision {sought.id} is in `decisions`: ids stand in responses and in `refrain watch decisions`"
        )
        raise typer.Exit(exit_codes.FAILED)
    answer = answer_of(client.cluster, found)
    if answer.entry_id is None and answer.forward_id is None:
        output.hint(f"the request of {sought.id} was answered past the cache ({found.outcome}, {found.reason}): nothing"
                    " of it is kept, so there is nothing to judge")  # fmt: skip
        raise typer.Exit(exit_codes.FAILED)
    command = Judge(
        who=name(who),
        why=why,
        decision_id=found.id,
        partition=found.partition,
        offset=found.offset,
        correct=correct,
    )
    version = send_and_wait(client, command, timeout)
    requests = requests_served(client.cluster, answer)
    if as_json:
        output.emit(_to_json(version, correct, answer, requests))
    else:
        _print_result(version, correct, requests)


def _to_json(version: int, correct: bool, answer: ServedAnswer, requests: Sequence[Decision]) -> dict[str, Any]:
    keys = ("id", "time_ms", "tenant", "category", "request_id", "outcome", "reason", "similarity", "stale")
    return {
        "version": version,
        "correct": correct,
        "entry_id": answer.entry_id,
        "forward_id": answer.forward_id,
        "served": [each.model_dump(mode="json", include=set(keys)) for each in requests],
    }


def _print_result(version: int, correct: bool, requests: Sequence[Decision]) -> None:
    done = "counted as right" if correct else "withdrawn everywhere, and not kept again"
    output.hint(f"{done}, since version {version}; {output.counted(len(requests), 'request')} got this answer:")
    output.table(
        ("time", "tenant", "request", "decision", "outcome", "similarity"),
        [
            (
                time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(each.time_ms / 1_000)),
                each.tenant,
                each.request_id or "-",
                each.id,
                each.outcome,
                output.number(each.similarity, 4),
            )
            for each in requests
        ],
    )
