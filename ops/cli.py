"""The command `refrain`: its groups, how errors end, and its exit codes. Heavy parts load inside their commands."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.main import get_command

# Before anything loads numpy: its products here are small, and threads that wait for the next one take the other
# processors from the workers beside this one (a fold took 243 us of processor time with two, 130 us with one).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from refrain.ops import STARTED_S
from refrain.ops.commands import COMMANDS
from refrain.ops.terminal import exit_codes, output
from refrain.ops.terminal.choices import suggest_choices
from refrain.ops.terminal.flags import plain_flags
from refrain.ops.terminal.help_text import flow_help
from refrain.ops.terminal.options import Options
from refrain.ops.terminal.streams import ReaderGone, finish_output, prepare_streams
from refrain.ops.terminal.usage import tell_as_usage
from refrain.ops.terminal.values import check_values
from refrain.streams.errors import FileUnwritable, RefrainError

EXITS = "\n\n".join(f"{code}  {meaning}" for code, meaning in exit_codes.TABLE)

VALUED = frozenset({"--config", "--prefix"})
"""Options before the command that take a value."""
NAME_CHARS = 200
"""Characters of a file's name that an error shows."""
COMPLETING = "_REFRAIN_COMPLETE"
"""The variable by which a shell asks how a line may go on."""


def application(command: str | None = None) -> typer.Typer:
    """The command line: with all commands, or with the part that has `command` alone, in a third of the time."""
    made = _root()
    for module in dict.fromkeys(each.module for name, each in COMMANDS.items() if command in (None, name)):
        import_module(f"refrain.ops.{module}").register(made)
    return made


def listing() -> typer.Typer:
    """The command line where no command is named: it knows the names and what the help says of them, and loads none."""
    made = _root()
    for name, each in COMMANDS.items():
        made.command(name, help=each.summary, rich_help_panel=each.panel)(_named)
    return made


def _root() -> typer.Typer:
    made = typer.Typer(
        name="refrain",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=f"[bold]Exit codes[/bold]\n\n{EXITS}",
    )
    made.callback()(refrain)
    return made


def _named() -> None:
    raise AssertionError("a line that names a command loads the part that has it")


def command_of(words: Sequence[str]) -> str | None:
    """The command that a command line names, None where it names none that is known. Pure."""
    left = iter(words)
    for word in left:
        if word in VALUED:
            next(left, None)
        elif not word.startswith("-"):
            return word if word in COMMANDS else None
    return None


def _version(wanted: bool) -> None:
    """Print the version and end, before a missing command is noticed."""
    if wanted:
        from refrain.streams.metrics import build_version

        output.say(build_version())
        raise typer.Exit


def refrain(
    context: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            help="The TOML file of settings (else REFRAIN_CONFIG, ./refrain.toml or ./.local/refrain.toml).",
            show_default=False,
        ),
    ] = None,
    prefix: Annotated[
        str | None, typer.Option(help="The prefix of the topics, in place of the setting.", show_default=False)
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (or REFRAIN_DEBUG=1).")] = False,
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Print the version and leave.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """A semantic cache for LLM traffic, as a streaming service on Kafka.

    Settings come from a TOML file and from variables such as REFRAIN_KAFKA=host:9092 or
    REFRAIN_UPSTREAM__BASE_URL=http://127.0.0.1:8000/v1; the environment wins.

    [bold]A first round[/bold]

    refrain topics create

    refrain run all

    refrain policies init policy.yaml

    refrain policies apply policy.yaml

    refrain ask "How do I reverse a list in Python?"
    """
    context.obj = Options(
        config, debug or _debug_wanted(), prefix, time.monotonic() if context.obj is None else context.obj
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors end in one line that says what to do."""
    prepare_streams()
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _debug_wanted() or "--debug" in given
    started_s = STARTED_S if arguments is None else time.monotonic()
    named = command_of(given)
    # A shell that completes a line asks for the options of any command.
    loaded = application(named) if named is not None or COMPLETING in os.environ else listing()
    command = flow_help(plain_flags(check_values(suggest_choices(tell_as_usage(get_command(loaded))))))
    code = _run(command, given, started_s, debug=debug)
    try:
        finish_output()
    except FileUnwritable as error:
        return _told(error)
    except ReaderGone:
        pass
    return code


def _run(command: Any, given: Sequence[str], started_s: float, *, debug: bool) -> int:
    try:
        command(args=given, prog_name="refrain", obj=started_s)
    except SystemExit as leaving:
        return (
            leaving.code
            if isinstance(leaving.code, int)
            else exit_codes.OK
            if leaving.code is None
            else exit_codes.FAILED
        )
    except ReaderGone:
        return exit_codes.OK
    except RefrainError as error:
        if debug:
            raise
        return _told(error)
    except Exception as error:
        if debug:
            raise
        return _unforeseen(error)
    return exit_codes.OK


def _told(error: RefrainError) -> int:
    output.hint(f"refrain: {error}")
    return exit_codes.code_of(error)


def _unforeseen(error: Exception) -> int:
    """Tell of an error that no part of Refrain made its own; returns the exit code."""
    if isinstance(error, OSError) and error.filename is not None:
        # Of a name that no file system takes (too long, a loop of links): any look at it raises.
        named = output.safe(os.fsdecode(error.filename), NAME_CHARS)
        output.hint(f"refrain: {named}: {error.strerror}: name another file")
        return exit_codes.USAGE
    from refrain.ops.run.logs import error_line

    output.hint(f"refrain: unexpected {error_line(error)}: run again with --debug for the traceback")
    return exit_codes.FAILED


def _debug_wanted() -> bool:
    return os.environ.get("REFRAIN_DEBUG", "") not in ("", "0")


if __name__ == "__main__":
    sys.exit(main())
