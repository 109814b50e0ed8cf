"""`refrain doctor`: health checks of the whole installation, with what to do where one fails."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.observe.deadline import Deadline
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import options_of, settings_of
from refrain.streams.errors import RefrainError

if TYPE_CHECKING:
    from refrain.ops.observe.findings import Finding
    from refrain.streams.settings import Settings

ANSWER_S = 8.0
"""How long after its start the doctor says what it knows: the rest of ten seconds is for telling it."""
LOOK_S = 4.0
"""How long the checks have at least, on a machine so busy that the command itself took long to start."""
TELL_S = 0.2
"""How long before that the checks of the cluster end, so that each of them has a row of its own."""
REACH_S = 2.5
"""How long the first broker may take to answer."""
NEEDED = (
    "ops.observe.doctor_checks", "ops.observe.doctor_cluster", "ops.observe.doctor_edge", "ops.observe.doctor_workers",
    "ops.cluster.connection",
)  # fmt: skip
LATE = "look at the brokers first"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    context: typer.Context,
    cost: Annotated[
        bool, typer.Option("--cost", help="Measure what the workers of this machine use, and name the bottleneck.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="With --cost: how long.")] = 5.0,
    no_call: Annotated[bool, typer.Option("--no-call", help="Do not call the model: a call costs a token.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding, or a stage.")] = False,
) -> None:
    """Check broker, topics, models, disk, files, lag, policy, keys, workers; say what to do. Exit code 1 if one fails.

    [bold]Examples[/bold]

    refrain doctor

    refrain doctor --json | jq 'select(.state != "ok")'

    refrain doctor --cost --seconds 30
    """
    if cost:
        return _cost(settings_of(context), seconds, as_json)
    settings = settings_of(context)
    _load()
    deadline = deadline_of(options_of(context).started_s, time.monotonic())
    findings = examine(settings, deadline, call_model=not no_call)
    if as_json:
        for finding in findings:
            output.emit(finding.to_json())
    else:
        _show(findings)
    failed = sum(f.state == "fail" for f in findings)
    if failed:
        output.hint(f"{failed} of {len(findings)} checks failed")
        raise typer.Exit(exit_codes.FAILED)
    return None


def _load() -> None:
    """Load what all checks need: on a busy machine that takes seconds, which are none of theirs."""
    from importlib import import_module

    for module in NEEDED:
        import_module(f"refrain.{module}")


def deadline_of(started_s: float, now_s: float) -> Deadline:
    """When a command that began at `started_s` says what it knows."""
    return Deadline(max(started_s + ANSWER_S, now_s + LOOK_S))


def _show(findings: Sequence[Finding]) -> None:
    """A table for programs; on a terminal a line a finding, and below it what to do."""
    if not sys.stdout.isatty():
        output.table(("check", "state", "seen", "what to do"), [(f.check, f.state, f.seen, f.do) for f in findings])
        return
    from rich.table import Table
    from rich.text import Text

    shown = Table.grid(padding=(0, 2, 0, 0))
    for name in ("state", "check"):
        shown.add_column(name, no_wrap=True)
    shown.add_column("seen", overflow="fold")
    for f in findings:
        shown.add_row(Text(f.state, style=output.STYLES[f.state]), f.check, Text(f.seen))
        if f.do:
            shown.add_row("", "", Text(f"-> {f.do}"))
    output.console().print(shown, soft_wrap=False)


def _cost(settings: Settings, seconds: float, as_json: bool) -> None:
    from refrain.ops.observe.cost import bottleneck
    from refrain.ops.observe.cost_view import measure, show

    found = measure(settings, seconds)
    if not as_json:
        return show(found)
    narrow = bottleneck(found)
    for each in found:
        output.emit({**each.to_json(), "bottleneck": narrow is not None and each.stage == narrow.stage})
    return None


def examine(settings: Settings, deadline: Deadline, *, call_model: bool = True) -> list[Finding]:
    """Run every check, all at the same time, until the deadline; without a broker only those that need none."""
    from refrain.ops.observe import doctor_checks, doctor_edge, doctor_tokens, doctor_upstream, doctor_workers

    began_s = deadline.clock()
    here: dict[str, Callable[[Settings], list[Finding]]] = {
        "model": doctor_checks.model,
        "categories": doctor_checks.categories,
        "verifier": doctor_checks.verifier,
        "machine": doctor_checks.machine,
        "disk": doctor_checks.disk,
        "files": doctor_checks.files,
        "workers": partial(doctor_workers.workers, deadline=deadline.before(TELL_S)),
        doctor_edge.CHECK: partial(doctor_edge.edge, deadline=deadline.before(TELL_S)),
    }
    if settings.jwt.issuer is not None:
        here[doctor_tokens.CHECK] = doctor_tokens.tokens
    looks: dict[str, Callable[[], list[Finding]]] = {"cluster": partial(_examine_cluster, settings, deadline)}
    looks |= {name: partial(check, settings) for name, check in here.items()}
    if call_model:
        used = partial(doctor_upstream.used_models, settings)
        looks[doctor_upstream.CHECK] = partial(doctor_upstream.upstream, settings, used)
    return doctor_checks.together(looks, deadline, partial(_late, settings, deadline.clock, began_s))


def _examine_cluster(settings: Settings, deadline: Deadline) -> list[Finding]:
    from refrain.ops.cluster.connection import reach
    from refrain.ops.observe import doctor_checks, doctor_cluster
    from refrain.ops.observe.findings import Finding

    own, began_s = deadline.before(TELL_S), deadline.clock()
    try:
        admin = reach(settings, min(REACH_S, settings.connect_timeout_ms / 1_000))
        brokers = doctor_cluster.ask_brokers(admin, settings, own)
    except RefrainError as error:
        return [Finding("broker", "fail", str(error))]
    looks = doctor_cluster.checks(brokers, settings)
    return doctor_checks.together(looks, own, partial(_late, settings, deadline.clock, began_s))


def _late(settings: Settings, clock: Callable[[], float], began_s: float, check: str) -> Finding:
    from refrain.ops.observe.doctor_checks import machine
    from refrain.ops.observe.findings import Finding

    name, _, group = check.partition(" of ")
    seen = f"{group}: " if group else ""
    (here,) = machine(settings)
    do = LATE if here.state == "ok" else f"this machine is busy ({here.seen}): look again, or from another one"
    return Finding(name, "fail", f"{seen}did not answer within {clock() - began_s:.1f} s", do)
