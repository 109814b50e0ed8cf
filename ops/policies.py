"""`refrain policies`: put a policy in force, and show the one that is."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ops import exits, output
from ops.state import settings_of
from streams.errors import BadInput

if TYPE_CHECKING:
    from schemas.control import PolicyInForce

policies = typer.Typer(no_args_is_help=True, help="Put a policy in force, and show the one that is.")


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(policies, name="policies")


@policies.command()
def apply(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A YAML file.", metavar="FILE")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    who: Annotated[str | None, typer.Option(help="Who does this; else your user name.", show_default=False)] = None,
    why: Annotated[str, typer.Option(help="Why; it is kept with the policy.")] = "",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait until it is in force.")] = 30.0,
) -> None:
    """Check a policy as a whole, show what it changes, and put it in force. Prints its version.

    Exit code 1 when the file or govern refuses it, 75 when no govern answers in time.

    [bold]Examples[/bold]

    refrain policies apply policy.yaml

    refrain policies apply policy.yaml --yes --why "finance answers live 5 minutes"
    """
    from ops.policy_change import changes
    from ops.policy_file import read_policy

    policy = read_policy(_text(file), file)
    settings = settings_of(context)
    from ops.policy_order import Order

    order = Order(settings)
    before = order.in_force()
    lines = changes(before.policy if before is not None else None, policy)
    if before is not None and not lines:
        output.hint("nothing changes: this policy is in force")
        output.say(str(before.version))
        return
    output.hint(f"against version {before.version}:" if before is not None else "no policy is in force yet:")
    for line in lines:
        output.hint(f"  {line}")
    if not yes:
        typer.confirm("Put it in force?", abort=True, err=True)
    order.place(policy, before, who or getpass.getuser(), why)
    output.say(str(order.wait(timeout)))


@policies.command()
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="The record as it is, on one line.")] = False,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="The policy as `policies apply` takes it.")] = False,
) -> None:
    """Show the policy in force. Exit code 1 when there is none.

    [bold]Example[/bold]

    refrain policies show --yaml > policy.yaml
    """
    from ops.policy_file import write_policy
    from ops.policy_order import Order

    found = Order(settings_of(context)).in_force()
    if found is None:
        output.hint("no policy is in force, so nothing is cached: run `refrain policies apply FILE`")
        raise typer.Exit(exits.FAILED)
    if as_json:
        output.say(found.encode().decode())
    elif as_yaml:
        output.say(write_policy(found.policy).rstrip())
    else:
        _show(found)


def _show(found: PolicyInForce) -> None:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(found.at_ms / 1_000))
    why = f": {found.why}" if found.why else ""
    output.hint(f"version {found.version}, by {found.who} at {stamp}{why}")
    output.table(
        ("category", "cache", "threshold", "lives", "cap", "scope", "priority", "examples", "rules"),
        [
            (
                name,
                c.cache,
                _reach(c.threshold, c.threshold_floor, lambda value: f"{value:g}"),
                _reach(c.ttl_ms, c.ttl_cap_ms, output.span),
                c.quota.cap,
                c.scope,
                f"{c.priority:g}",
                len(c.examples),
                sum(rule.category == name for rule in found.policy.rules),
            )
            for name, c in found.policy.categories.items()
        ],
    )


def _reach(base: float, limit: float | None, text: output.Text) -> str:
    """A value and how far load may move it."""
    return text(base) if limit is None else f"{text(base)} … {text(limit)}"


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8") as opened:
            return opened.read()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise BadInput(f"{file} cannot be read: {why}") from error
