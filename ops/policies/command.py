"""`refrain policies`: apply, show, compare and revert policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.options import Timeout, Who, Why, Yes, confirm, name, send_and_wait, wait_in_force
from refrain.ops.policies import gate
from refrain.ops.policies.init import init
from refrain.ops.policies.views import diff, history, policy_text, show, stamp
from refrain.ops.terminal import output
from refrain.ops.terminal.options import settings_of
from refrain.streams import time_of_day
from refrain.streams.errors import BadInput, CommandRefused, RefusalCode

if TYPE_CHECKING:
    from refrain.ops.control.client import ControlClient
    from refrain.schemas.control import PolicyInForce
    from refrain.schemas.policy import Policy

policies = typer.Typer(
    no_args_is_help=True, help="Write a policy to start from, put one in force, compare, and go back."
)
TOLD_MS = 12 * 3_600_000
"""How long after a policy `acknowledgements`, which keeps a day, surely holds all that was said of it."""
NoWait = Annotated[bool, typer.Option("--no-wait", help="Send it and leave: nobody may act by it yet.")]


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    for command in (init, show, diff, history):
        policies.command()(command)
    app.add_typer(policies, name="policies")


@policies.command()
def apply(
    context: typer.Context,
    file: Annotated[str, typer.Argument(help="A YAML file.", metavar="FILE")],
    yes: Yes = False,
    who: Who = None,
    why: Why = "",
    timeout: Timeout = 30.0,
    no_wait: NoWait = False,
    after_whatif: Annotated[
        bool,
        typer.Option("--after-whatif", help="Fold recorded traffic under it first; what breaks a bound is refused."),
    ] = False,
    max_lost_hits: Annotated[
        str | None, typer.Option(help="Recorded hits that it may lose: 5%, or 12.", show_default=False)
    ] = None,
    max_judged_wrong: Annotated[
        int | None, typer.Option(min=0, help="Hits judged wrong that it may serve.", show_default=False)
    ] = None,
) -> None:
    """Check a policy as a whole, show what it changes, and put it in force. Prints its version.

    Where entries would go (of a category that is not kept any more, lives shorter, or has less room) it says how many.
    It is in force when every shard, and every worker of classify and populate, has acknowledged it. Exit code 1 when
    the file or govern refuses it, 75 when somebody has not acknowledged it in time: it stands, and is taken by and by.

    [bold]Examples[/bold]

    refrain policies apply policy.yaml

    refrain policies apply policy.yaml --yes --why "finance answers live 5 minutes"

    refrain policies apply policy.yaml --after-whatif --max-lost-hits 5% --max-judged-wrong 0
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.policies.file import read_policy

    limits = gate.Limits(max_lost_hits, max_judged_wrong)
    if limits != gate.Limits() and not after_whatif:
        raise typer.BadParameter("bounds are told by a what-if: give --after-whatif too")
    text = policy_text(file)
    settings = settings_of(context)
    client = ControlClient(settings)
    before = client.in_force()
    policy = read_policy(text, file, () if before is None else before.policy.hit_heads)
    if after_whatif:
        gate.check_on_recorded(settings, policy, limits)
    _put(client, policy, before, yes, name(who), why, None if no_wait else timeout)


@policies.command()
def revert(
    context: typer.Context,
    version: Annotated[
        int | None, typer.Argument(help="Else the one before the one in force.", show_default=False, min=0)
    ] = None,
    yes: Yes = False,
    who: Who = None,
    why: Why = "",
    timeout: Timeout = 30.0,
    no_wait: NoWait = False,
) -> None:
    """Put an earlier policy in force again, as a new version. Ends as `apply` does.

    [bold]Examples[/bold]

    refrain policies revert

    refrain policies revert 17 --yes --why "finance was too strict"
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.policies.history import read_history

    client = ControlClient(settings_of(context))
    before = client.in_force()
    if before is None:
        raise BadInput("no policy is in force, so there is nothing to go back from: run `refrain policies apply FILE`")
    history = read_history(client.cluster)
    chosen = history.before(before.version) if version is None else history.version(version)
    reason = f"revert to version {chosen.version}" + (f": {why}" if why else "")
    _put(client, chosen.policy, before, yes, name(who), reason, None if no_wait else timeout)


@policies.command()
def resume(context: typer.Context, yes: Yes = False) -> None:
    """Let commands be taken again after the topic `control` was deleted and made anew. Prints where it ends then.

    Versions are offsets of `control`, and no version is taken twice. The offsets up to the last version are used up,
    so that the next command has a newer one; what was refused or not acknowledged meanwhile is to be given again.
    Where `control` was not made anew it does nothing.

    [bold]Example[/bold]

    refrain policies resume && refrain policies apply policy.yaml
    """
    from refrain.ops.cluster.connection import reach
    from refrain.ops.cluster.resume import CONTROL, last_version, move_end_past, why_ignored
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.runtime.policy_follower import PolicyWatch

    settings = settings_of(context)
    reach(settings)
    cluster = KafkaCluster(settings)
    end, last = cluster.end(CONTROL, 0), last_version(cluster, PolicyWatch(cluster).latest())
    why = why_ignored(end, last)
    if why is None:
        output.hint(f"nothing to do: `control` ends at {end}, and the last version is {last}")
    else:
        output.hint(why)
        confirm(f"Use up the offsets up to {last}?", yes)
        end = move_end_past(settings, cluster, last)
        output.hint("give again what was refused or not acknowledged meanwhile")
    output.say(str(end))


def _put(
    client: ControlClient,
    policy: Policy,
    before: PolicyInForce | None,
    yes: bool,
    who: str,
    why: str,
    timeout: float | None,
) -> None:
    """Show what changes, ask, send, and wait for `timeout` seconds; None: not at all."""
    from refrain.ops.policies.diff import changes
    from refrain.schemas.control import SetPolicy

    lines = changes(before.policy if before is not None else None, policy)
    if before is not None and not lines:
        output.hint(f"nothing changes: this policy is version {before.version}, set {stamp(before.at_ms)}")
        if timeout is not None and _is_told(before):
            # Whoever applied it may have left before everybody acted by it.
            client.follow(before.version)
            wait_in_force(client, timeout)
        output.say(str(before.version))
        return
    output.hint(f"against version {before.version}:" if before is not None else "no policy is in force yet:")
    for line in lines:
        output.hint(f"  {line}")
    for line in _departures(client, before, policy):
        output.hint(line)
    confirm("Put it in force?", yes)
    command = SetPolicy(who=who, why=why, policy=policy, expected_version=None if before is None else before.version)
    if timeout is None:
        output.say(str(client.send(command)))
        output.hint("sent: `refrain policies show` tells when govern has taken it")
        return
    try:
        output.say(str(send_and_wait(client, command, timeout)))
    except CommandRefused as refused:
        raise _overtaken(client, refused) from refused


def _departures(client: ControlClient, before: PolicyInForce | None, policy: Policy) -> list[str]:
    """How many entries would go, in lines for people; none where the change lets all stay."""
    from refrain.ops.cluster.scan import records
    from refrain.ops.policies.departures import departures, may_lose, told

    if not may_lose(None if before is None else before.policy, policy):
        return []
    return told(departures(records(client.cluster, "documents", "counting entries"), policy, time_of_day.now_ms()))


def _is_told(policy: PolicyInForce) -> bool:
    """Whether `acknowledgements` still holds all that was said of a policy."""
    return time_of_day.now_ms() - policy.at_ms < TOLD_MS


def _overtaken(client: ControlClient, refused: CommandRefused) -> CommandRefused:
    """Concurrent author whose policy came first, when that is the reason of the refusal."""
    now = client.in_force()
    if now is None or RefusalCode.STALE_COMMAND.value not in str(refused):
        return refused
    why = f" ({now.why})" if now.why else ""
    return CommandRefused(
        f"version {now.version} is in force since {stamp(now.at_ms)}, set by {now.who}{why}: look at it with"
        " `refrain policies show`, and apply yours again if it is still wanted"
    )
