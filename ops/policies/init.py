"""`refrain policies init`: a policy to start from, with a reason for each number."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from refrain.ops.config import resources
from refrain.ops.terminal import output
from refrain.streams.errors import FileUnwritable

STDOUT = "-"


class ShippedPolicy(StrEnum):
    """A policy that is shipped, by the name of its file."""

    DEFAULT = "default"
    """The one that `infra/up` puts in force."""
    PAPER = "paper"
    """The seven categories of arXiv 2510.26835."""


def init(
    file: Annotated[str, typer.Argument(help="Where to write it; - for standard output.", metavar="[FILE]")] = (
        "policy.yaml"
    ),
    example: Annotated[
        ShippedPolicy, typer.Option(help="The policy to start from: default, or the seven categories of the paper.")
    ] = ShippedPolicy.DEFAULT,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that is there.")] = False,
) -> None:
    """Write a policy to start from, with comments that say what each number does. Asks no broker.

    A file that is there is kept: exit code 1, unless --force says to overwrite it.

    [bold]Examples[/bold]

    refrain policies init

    refrain policies init paper.yaml --example paper

    refrain policies init - | less
    """
    text = resources.text_of(resources.POLICIES, f"{example}.yaml")
    if file == STDOUT:
        output.say(text.removesuffix("\n"))
        return
    _write(Path(file), text, force)
    output.hint(f"wrote {file}: change it, then put it in force with `refrain policies apply {file}`")


def _write(path: Path, text: str, force: bool) -> None:
    """Write a file whole. Raises WrongValue where one is there and `force` is not given, or nothing can be written."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError as there:
        raise FileUnwritable(f"{path} is there already: name another file, or overwrite it with --force") from there
    except OSError as error:
        raise FileUnwritable(f"{path} cannot be written: {error.strerror or error}") from error
