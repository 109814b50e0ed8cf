"""Views of `refrain policies`: show, diff and history."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.options import settings_of
from refrain.streams.errors import BadInput

if TYPE_CHECKING:
    from refrain.ops.control.client import ControlClient
    from refrain.ops.policies.history import History
    from refrain.schemas.control import PolicyInForce
    from refrain.schemas.policy import Policy


def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="The record as it is, on one line.")] = False,
    as_yaml: Annotated[bool, typer.Option("--yaml", help="The whole policy as `policies apply` takes it.")] = False,
) -> None:
    """Show the policy in force. Exit code 1 when there is none.

    [bold]Example[/bold]

    refrain policies show --yaml > policy.yaml
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.policies.file import write_policy

    found = ControlClient(settings_of(context)).in_force()
    if found is None:
        output.hint("no policy is in force, so nothing is cached: run `refrain policies apply FILE`")
        raise typer.Exit(exit_codes.FAILED)
    if as_json:
        output.say(found.encode().decode())
    elif as_yaml:
        output.say(write_policy(found.policy, complete=True).rstrip())
    else:
        _show(found)


def diff(
    context: typer.Context,
    first: Annotated[str, typer.Argument(help="A YAML file, or the number of a version.", metavar="FILE|VERSION")],
    second: Annotated[
        str | None, typer.Argument(help="Compare with this one.", metavar="[FILE|VERSION]", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show what a policy changes against the one in force, or a second policy against the first.

    Exit code 0 when they are the same, 1 when they differ, as diff has it; 2 when one cannot be read.

    [bold]Examples[/bold]

    refrain policies diff policy.yaml

    refrain policies diff 17

    refrain policies diff 17 23
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.policies.diff import changes

    texts = [text for text in (first, second) if text is not None]
    try:
        for text in texts:
            if not text.isdecimal():
                policy_text(text)
        client = ControlClient(settings_of(context))
        named: list[tuple[str, Policy | None]] = [_resolve(client, text) for text in texts]
    except exit_codes.WRONG_USAGE:
        raise
    except BadInput as wrong:
        # 1 says that they differ.
        output.hint(f"refrain: {wrong}")
        raise typer.Exit(exit_codes.USAGE) from wrong
    if second is None:
        now = client.in_force()
        named.insert(0, ("nothing", None) if now is None else (f"version {now.version}", now.policy))
    (old_name, old), (new_name, new) = named
    lines = changes(old, new) if new is not None else []
    if as_json:
        output.emit({"from": old_name, "to": new_name, "changes": lines})
    else:
        output.hint(f"from {old_name} to {new_name}:" if lines else f"{new_name} is the same as {old_name}")
        for line in lines:
            output.say(line)
    if lines:
        raise typer.Exit(exit_codes.FAILED)


def history(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a version, oldest first.")] = False,
) -> None:
    """Show every policy that was in force: version, when, who, why, and what it changed.

    [bold]Example[/bold]

    refrain policies history --json | jq .why
    """
    from refrain.ops.control.client import ControlClient
    from refrain.ops.policies.history import read_history

    found = read_history(ControlClient(settings_of(context)).cluster)
    rows = _with_changes(found)
    if as_json:
        for each, lines in rows:
            output.emit({"version": each.version, "at_ms": each.at_ms, "who": each.who, "why": each.why,
                         "changes": lines})  # fmt: skip
    else:
        from refrain.ops.policies.diff import brief

        output.table(
            ("version", "when", "who", "why", "what changed"),
            [(each.version, stamp(each.at_ms), each.who, each.why, brief(lines)) for each, lines in rows],
        )
    if not rows and not found.begins:
        output.hint("no policy was ever in force: `refrain policies apply FILE` puts one there")
    if found.begins:
        output.hint(f"`control` begins at offset {found.begins}: what was in force before is not kept any more")


def _with_changes(found: History) -> list[tuple[PolicyInForce, list[str]]]:
    """Each policy with what it changed against the one before it."""
    from refrain.ops.policies.diff import changes

    before = [None, *(each.policy for each in found.policies)]
    rows = [(each, changes(old, each.policy)) for old, each in zip(before, found.policies, strict=False)]
    if rows and found.begins:
        rows[0] = (rows[0][0], ["? the policy before it is not kept any more"])
    return rows


def _resolve(client: ControlClient, text: str) -> tuple[str, Policy]:
    """Resolve a file name or version number to a policy. A file that is called like a number needs a `./` before it."""
    from refrain.ops.policies.file import read_policy
    from refrain.ops.policies.history import read_history

    if text.isdecimal():
        return f"version {int(text)}", read_history(client.cluster).version(int(text)).policy
    now = client.in_force()
    return text, read_policy(text_of(text), text, () if now is None else now.policy.hit_heads)


def _show(found: PolicyInForce) -> None:
    why = f": {found.why}" if found.why else ""
    output.hint(f"version {found.version}, by {found.who} at {stamp(found.at_ms)}{why}")
    output.table(
        ("category", "cache", "threshold", "lives", "room", "scope", "priority", "examples", "rules"),
        [
            (
                category,
                c.cache,
                _reach(c.threshold, c.threshold_floor, lambda value: f"{value:g}"),
                _reach(c.ttl_ms, c.ttl_cap_ms, output.span),
                f"{c.quota.guaranteed} … {c.quota.cap}",
                c.scope,
                f"{c.priority:g}",
                len(c.examples),
                sum(rule.category == category for rule in found.policy.rules),
            )
            for category, c in found.policy.categories.items()
        ],
    )


def _reach(base: float, limit: float | None, text: output.Text) -> str:
    """Value with the range in which load may move it."""
    return text(base) if limit is None else f"{text(base)} … {text(limit)}"


def stamp(at_ms: int) -> str:
    """Timestamp as people read it, in local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at_ms / 1_000))


def policy_text(file: str) -> str:
    """Read a policy file and check it, before a broker is asked for the heads that it may name by version.

    Raises FileUnreadable, and BadInput as `read_policy` does.
    """
    from refrain.ops.policies.file import read_policy

    text = text_of(file)
    read_policy(text, file, None)
    return text


def text_of(file: str) -> str:
    """Read a text file. Raises FileUnreadable."""
    from refrain.ops.data.whole import POLICY_FILE_BYTES, whole_text

    return whole_text(file, POLICY_FILE_BYTES)
