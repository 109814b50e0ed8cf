"""Options shared by the control commands: author, reason, confirmation, timeout; and the wait after sending."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.terminal import output

if TYPE_CHECKING:
    from refrain.ops.control.client import ControlClient
    from refrain.schemas.control import Given

Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Who = Annotated[str | None, typer.Option(help="Who does this; else your user name.", show_default=False)]
Why = Annotated[str, typer.Option(help="Why; it is kept with the command.")]
Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait until every worker acts by it.")]


def name(who: str | None) -> str:
    """Author of the command. Raises typer.BadParameter where the machine knows no name."""
    if who:
        return who
    try:
        return getpass.getuser()
    except (KeyError, OSError) as nobody:
        raise typer.BadParameter("this machine has no name for you: say who you are", param_hint="--who") from nobody


def confirm(question: str, yes: bool) -> None:
    """Confirm with the user, unless that was answered on the command line. Raises typer.Abort for a no."""
    if not yes:
        typer.confirm(question, abort=True, err=True)


def send_and_wait(client: ControlClient, command: Given, timeout_s: float) -> int:
    """Send a command and wait until every worker acts by it; returns its version. Shows progress on a terminal.

    Raises CommandRefused, SendFailed, or ClusterFailed naming what is missing.
    """
    client.send(command)
    return wait_in_force(client, timeout_s)


def wait_in_force(client: ControlClient, timeout_s: float) -> int:
    """Wait until every worker acts by the command that was sent; as `send_and_wait` does."""
    shown = output.console(stderr=True)
    if not shown.is_terminal:
        return client.wait(timeout_s)
    with shown.status("sent") as status:
        return client.wait(timeout_s, lambda progress: status.update(f"acknowledged by {progress.summary()}"))
