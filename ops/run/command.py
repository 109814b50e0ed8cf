"""`refrain run`: one processor in this process, or several under a supervisor with a process each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from refrain.ops.run.loading import uncollected
from refrain.ops.run.processors import NAMES, all_of
from refrain.ops.terminal.choices import check_choice, one_of
from refrain.ops.terminal.options import options_of, settings_of

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

ALL = "all"
FORMATS = ("text", "json")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)


def _known(names: list[str]) -> list[str]:
    for name in names:
        check_choice(name, (*NAMES, ALL), "processor")
    return names


def spelled_out(names: list[str], settings: Settings) -> list[str]:
    """The processors of a command line; `all` stands for each of them, for `edge` where the settings enable it."""
    return [each for name in names for each in (all_of(settings) if name == ALL else (name,))]


def run(
    context: typer.Context,
    processors: Annotated[
        list[str], typer.Argument(help=f"{', '.join(NAMES)}, or all.", callback=_known, metavar="PROCESSOR...")
    ],
    log_format: Annotated[
        str | None,
        typer.Option(
            help="text or json; else the setting log_format.", show_default=False, callback=one_of(FORMATS, "format")
        ),
    ] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
    restarts: Annotated[int, typer.Option("--restarts", hidden=True)] = 0,
) -> None:
    """Run processors until SIGTERM or Ctrl-C; then they drain, commit and leave.

    One processor runs in this process. Several run in a process each, under a supervisor that starts again
    what ends (not what ends with 78: wrong setup). Name one twice for two workers. Which processes run, and
    their health ports, stand in run.json in the state folder.

    [bold]Examples[/bold]

    refrain run all

    refrain run lookup lookup classify

    refrain run all --log-format json

    REFRAIN_HTTP__PORT=9100 refrain run lookup
    """
    from refrain.ops.run.state_files import require_writable
    from refrain.streams.store.private import keep_private

    settings = settings_of(context)
    if log_format is not None:
        settings = settings.model_copy(update={"log_format": log_format})
    names = spelled_out(processors, settings)
    keep_private()
    require_writable(settings.state_dir)
    options = options_of(context)
    if len(names) == 1:
        with uncollected():
            from refrain.ops.run.worker import run_worker

        raise typer.Exit(run_worker(names[0], settings, supervised=supervised, restarts=restarts))
    from refrain.ops.run.supervisor import supervise

    if supervised:
        from refrain.ops.run.lifeline import watch_supervisor

        watch_supervisor()
    raise typer.Exit(supervise(names, settings, options))
