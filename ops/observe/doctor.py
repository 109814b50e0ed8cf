"""`refrain doctor`: health checks of the whole installation, with what to do where one fails."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.streams.errors import RefrainError

if TYPE_CHECKING:
    from refrain.ops.observe.doctor_checks import Finding
    from refrain.streams.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(
    context: typer.Context,
    cost: Annotated[
        bool, typer.Option("--cost", help="Measure what the workers of this machine use, and name the bottleneck.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.5, max=600, help="With --cost: how long.")] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a finding, or a stage.")] = False,
) -> None:
    """Look at broker, topics, models, disk, lag, policy, keys and workers; say what to do. Exit code 1 when one fails.

    [bold]Examples[/bold]

    refrain doctor

    refrain doctor --json | jq 'select(.state != "ok")'

    refrain doctor --cost --seconds 30
    """
    if cost:
        return _cost(settings_of(context), seconds, as_json)
    findings = examine(settings_of(context))
    if as_json:
        for finding in findings:
            output.emit(finding.to_json())
    else:
        output.table(("check", "state", "seen", "what to do"), [(f.check, f.state, f.seen, f.do) for f in findings])
    failed = sum(f.state == "fail" for f in findings)
    if failed:
        output.hint(f"{failed} of {len(findings)} checks failed")
        raise typer.Exit(exit_codes.FAILED)
    return None


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


def examine(settings: Settings) -> list[Finding]:
    """Run every check; those that need a broker are left out when none answers."""
    from refrain.ops.cluster.connection import reach
    from refrain.ops.observe import doctor_checks
    from refrain.ops.observe.route_keys import routes

    out: list[Finding] = []
    try:
        admin = reach(settings)
    except RefrainError as error:
        out.append(doctor_checks.Finding("broker", "fail", str(error)))
        looks = {}
    else:
        looks = {
            "broker": partial(doctor_checks.broker, admin, settings),
            "topics": partial(doctor_checks.topics, admin, settings),
            "policy": partial(doctor_checks.policy, settings),
            "lag": partial(doctor_checks.lag, admin, settings),
            "routes": partial(routes, admin, settings),
        }
    here = {
        "model": doctor_checks.model,
        "categories": doctor_checks.categories,
        "verifier": doctor_checks.verifier,
        "disk": doctor_checks.disk,
        "workers": doctor_checks.workers,
    }
    looks |= {name: partial(check, settings) for name, check in here.items()}
    for name, look in looks.items():
        out += doctor_checks.guarded(name, look)
    return out
