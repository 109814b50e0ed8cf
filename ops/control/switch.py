"""`refrain off` and `refrain on`: switch the cache off and on, without touching its entries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.control.options import Timeout, Who, Why, name, send_and_wait
from refrain.ops.terminal import output
from refrain.ops.terminal.choices import check_choice
from refrain.ops.terminal.options import settings_of
from refrain.streams.errors import BadInput

if TYPE_CHECKING:
    from refrain.ops.control.client import ControlClient

Category = Annotated[str | None, typer.Option(help="Only this one; else all.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(off)
    app.command()(on)


def off(
    context: typer.Context, category: Category = None, who: Who = None, why: Why = "", timeout: Timeout = 30.0
) -> None:
    """Switch the cache off at once: everything is forwarded, nothing is kept. Prints the command's version.

    Entries stay where they are. Exit code 75 when a shard has not acknowledged it in time: it stands, and is taken
    when the shard's worker runs.

    [bold]Examples[/bold]

    refrain off --why "wrong answers in the shop"

    refrain off --category finance
    """
    _switch(context, False, category, who, why, timeout)


def on(
    context: typer.Context, category: Category = None, who: Who = None, why: Why = "", timeout: Timeout = 30.0
) -> None:
    """Switch the cache on again. Prints the command's version.

    Without a category it ends every switch; with one only that category's own: while all is off, it stays off.

    [bold]Examples[/bold]

    refrain on

    refrain on --category finance
    """
    _switch(context, True, category, who, why, timeout)


def _switch(
    context: typer.Context, to_on: bool, category: str | None, who: str | None, why: str, timeout: float
) -> None:
    from refrain.ops.control.client import ControlClient
    from refrain.schemas.control import Switch

    client = ControlClient(settings_of(context))
    if category is not None:
        _check_known(client, category)
    version = send_and_wait(client, Switch(who=name(who), why=why, on=to_on, category=category), timeout)
    what = "the cache" if category is None else f"the category {category}"
    output.hint(f"{what} is switched {'on' if to_on else 'off'} in every shard, since version {version}")
    output.say(str(version))


def _check_known(client: ControlClient, category: str) -> None:
    """Raises typer.BadParameter for a category that the policy in force has not: a slip would do nothing in silence.

    Raises BadInput where none is in force.
    """
    found = client.in_force()
    if found is None:
        raise BadInput("no policy is in force, so there is no category to switch: run `refrain policies apply FILE`")
    check_choice(category, found.policy.categories, "category of the policy in force", "--category")
