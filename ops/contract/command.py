"""`refrain schemas`: list, show and export the schemas of messages and files, and the topics as AsyncAPI."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated

import typer

from refrain.ops.terminal import output
from refrain.streams.errors import FileUnwritable

schemas = typer.Typer(
    no_args_is_help=True,
    help="List, show and export the schemas of messages and of files, and AsyncAPI of the topics.",
)
DEFAULT = Path("refrain-schemas")


def register(app: typer.Typer) -> None:
    """Add the group to the command."""
    app.add_typer(schemas, name="schemas")


@schemas.command(name="list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False) -> None:
    """Print the name of each schema, and of which file it is. Asks no broker.

    [bold]Example[/bold]

    refrain schemas list
    """
    from refrain.ops.contract.files import contract_files

    rows = [(name, path.name) for name, path in contract_files().items()]
    if as_json:
        for name, file in rows:
            output.emit({"name": name, "file": file})
        return
    output.table(("name", "file"), rows)


@schemas.command()
def show(name: Annotated[str, typer.Argument(help="As `refrain schemas list` has it.", metavar="NAME")]) -> None:
    """Print one schema, such as `request`, `policy`, `settings` or `asyncapi`. Asks no broker.

    [bold]Examples[/bold]

    refrain schemas show request

    refrain schemas show asyncapi > asyncapi.yaml
    """
    from refrain.ops.contract.files import contract_files

    files = contract_files()
    if name not in files:
        near = difflib.get_close_matches(name, files, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}?" if near else "`refrain schemas list` names them"
        raise typer.BadParameter(f"no schema is named {name!r}; {meant}", param_hint="NAME")
    output.say(files[name].read_text(encoding="utf-8").rstrip())


@schemas.command()
def export(
    into: Annotated[
        Path, typer.Option(help="The folder to write to; made where it is missing.", metavar="DIR")
    ] = DEFAULT,
) -> None:
    """Write all schemas and the AsyncAPI file into a folder, in place of files of the same names. Asks no broker.

    [bold]Example[/bold]

    refrain schemas export --into schemas/refrain
    """
    from refrain.ops.contract.files import contract_files

    files = contract_files().values()
    try:
        into.mkdir(parents=True, exist_ok=True)
        for path in files:
            (into / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as error:
        raise FileUnwritable(f"--into {into}: {error.strerror}: name a folder that may be written to") from error
    output.hint(f"{len(files)} files written to {into}")
