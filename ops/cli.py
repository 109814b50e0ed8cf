"""The command `refrain`: its groups, how errors end, and its exit codes. Heavy parts load inside their commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

# Before anything loads numpy: its products here are small, and threads that wait for the next one take the other
# processors from the workers beside this one (a fold took 243 us of processor time with two, 130 us with one).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from refrain.ops.ask import command as ask
from refrain.ops.audit import command as audit
from refrain.ops.bench import command as bench
from refrain.ops.categories import command as categories
from refrain.ops.contract import command as contract
from refrain.ops.control import invalidate, judge, switch
from refrain.ops.edge import command as edge
from refrain.ops.explain import command as explain
from refrain.ops.explain import history_command, served_command
from refrain.ops.hits import command as hits
from refrain.ops.letters import command as letters
from refrain.ops.observe import doctor, stats, watch
from refrain.ops.policies import command as policies
from refrain.ops.quality import calibrate, evaluate
from refrain.ops.replay import command as replay
from refrain.ops.replay import state_command
from refrain.ops.run import command as run
from refrain.ops.shards import command as shards
from refrain.ops.snapshots import command as snapshots
from refrain.ops.terminal import exit_codes
from refrain.ops.terminal.choices import suggest_choices
from refrain.ops.terminal.flags import plain_flags
from refrain.ops.terminal.options import Options
from refrain.ops.topics import command as topics
from refrain.ops.transfer import export_command, import_command
from refrain.ops.whatif import command as whatif
from refrain.streams.errors import RefrainError

EXITS = "\n\n".join(f"{code}  {meaning}" for code, meaning in exit_codes.TABLE)

app = typer.Typer(
    name="refrain",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"[bold]Exit codes[/bold]\n\n{EXITS}",
)
for part in (
    topics,
    run,
    ask,
    watch,
    stats,
    policies,
    invalidate,
    judge,
    switch,
    categories,
    evaluate,
    calibrate,
    hits,
    shards,
    snapshots,
    letters,
    doctor,
    audit,
    explain,
    served_command,
    history_command,
    whatif,
    replay,
    state_command,
    export_command,
    import_command,
    contract,
):
    part.register(app)
app.add_typer(bench.app, name="bench")
app.add_typer(edge.app, name="edge")


def _version(wanted: bool) -> None:
    """Print the version and end, before a missing command is noticed."""
    if wanted:
        from refrain.streams.metrics import build_version

        typer.echo(build_version())
        raise typer.Exit


@app.callback()
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
    context.obj = Options(config, debug or _debug_wanted(), prefix)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Errors end in one line that says what to do."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = _debug_wanted() or "--debug" in given
    try:
        plain_flags(suggest_choices(get_command(app)))(args=given, prog_name="refrain")
    except SystemExit as leaving:
        return (
            leaving.code
            if isinstance(leaving.code, int)
            else exit_codes.OK
            if leaving.code is None
            else exit_codes.FAILED
        )
    except RefrainError as error:
        if debug:
            raise
        sys.stderr.write(f"refrain: {error}\n")
        return exit_codes.code_of(error)
    except BrokenPipeError:
        # Whoever read the output has gone (`| head`): nothing is left to say, and nowhere to say it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exit_codes.OK
    except Exception as error:
        if debug:
            raise
        from refrain.ops.run.logs import error_line

        sys.stderr.write(f"refrain: unexpected {error_line(error)}: run again with --debug for the traceback\n")
        return exit_codes.FAILED
    return exit_codes.OK


def _debug_wanted() -> bool:
    return os.environ.get("REFRAIN_DEBUG", "") not in ("", "0")


if __name__ == "__main__":
    sys.exit(main())
