"""`refrain run`: one processor in this process, or several under a supervisor with a process each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.run.processors import NAMES, all_of
from refrain.ops.terminal.options import options_of, settings_of

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

ALL = "all"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def _known(names: list[str]) -> list[str]:
    for name in names:
        if name not in (*NAMES, ALL):
            raise typer.BadParameter(f"{name!r} is no processor: choose from {', '.join(NAMES)}, or all")
    return names


def spelled_out(names: list[str], settings: Settings) -> list[str]:
    """The processors of a command line; `all` stands for each of them, for `edge` where the settings enable it."""
    return [each for name in names for each in (all_of(settings) if name == ALL else (name,))]


def run(
    context: typer.Context,
    processors: Annotated[
        list[str], typer.Argument(help=f"{', '.join(NAMES)}, or all.", callback=_known, metavar="PROCESSOR...")
    ],
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Run processors until SIGTERM or Ctrl-C; then they drain, commit and leave.

    One processor runs in this process. Several run in a process each, under a supervisor that starts again
    what ends (not what ends with 78: wrong setup). Name one twice for two workers. Which processes run, and
    their health ports, stand in run.json in the state folder.

    [bold]Examples[/bold]

    refrain run all

    refrain run lookup lookup classify

    REFRAIN_HTTP__PORT=9100 refrain run lookup
    """
    from refrain.streams.store.private import keep_private

    settings = settings_of(context)
    names = spelled_out(processors, settings)
    keep_private()
    options = options_of(context)
    if len(names) == 1:
        from refrain.ops.run.worker import run_worker

        raise typer.Exit(run_worker(names[0], settings, supervised=supervised))
    from refrain.ops.run.supervisor import supervise

    if supervised:
        from refrain.ops.run.lifeline import watch_supervisor

        watch_supervisor()
    raise typer.Exit(supervise(names, settings, options))
