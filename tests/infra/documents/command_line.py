"""Whether a line that a paper shows is one that the command `refrain` takes. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption
from typer.exceptions import TyperException
from typer.main import get_command

from refrain.ops.cli import application

FILE_ENDINGS = (".jsonl", ".gz", ".json", ".yaml", ".txt", ".png", "FILE", "PAIRS")
"""Arguments that look like files stand for files that are there."""
GENERAL = frozenset({"--help", "-h", "--install-completion", "--show-completion"})

ROOT = get_command(application())


def problem(words: Sequence[str], folder: Path) -> str | None:
    """What is wrong with a whole command line behind `refrain`, None when it would be taken.

    Files that it names are made in `folder`, which must be where the process stands.
    """
    for word in words:
        if word.endswith(FILE_ENDINGS) and "=" not in word:
            (folder / word).parent.mkdir(parents=True, exist_ok=True)
            (folder / word).touch()
    command, path, rest = resolve(words)
    if isinstance(command, TyperGroup):
        return f"`{path}` has no command {rest[0]!r}" if rest else f"`{path}` needs a command"
    return misread(command, path, rest)


def misread(command: Any, path: str, arguments: Sequence[str]) -> str | None:
    """What the parser of a command says of arguments, None when it takes them."""
    try:
        command.make_context(path, list(arguments))
    except TyperException as wrong:
        return f"`{path}`: {getattr(wrong, 'message', '') or wrong}"
    return None


def loose_problem(words: Sequence[str]) -> str | None:
    """What is wrong with a command that is only named: arguments may be missing, but no word or option may be wrong."""
    command, path, rest = resolve(words)
    if isinstance(command, TyperGroup) and rest:
        return f"`{path}` has no command {rest[0]!r}"
    known = options(command, hidden=True) | GENERAL
    strangers = [word for word in rest if word.startswith("-") and word != "-" and word.split("=")[0] not in known]
    return f"`{path}` has no option {strangers[0]}" if strangers else None


def resolve(words: Sequence[str]) -> tuple[Any, str, list[str]]:
    """The deepest command that the words name, its path, and the words left for it."""
    command: Any = ROOT
    path, left = "refrain", list(words)
    while isinstance(command, TyperGroup):
        left = _behind_options(command, left)
        if not left or left[0] not in command.commands:
            break
        command, path, left = command.commands[left[0]], f"{path} {left[0]}", left[1:]
    return command, path, left


def tree() -> Iterator[tuple[str, Any]]:
    """Every command with its path, groups left out."""
    yield from _below("refrain", ROOT)


def options(command: Any, *, hidden: bool = False) -> set[str]:
    """The options of a command, those that every command has left out."""
    return {
        name
        for parameter in command.params
        if isinstance(parameter, TyperOption) and (hidden or not parameter.hidden)
        for name in (*parameter.opts, *parameter.secondary_opts)
    } - GENERAL


def taken_by(main: Any, arguments: Sequence[str], name: str) -> str | None:
    """What is wrong with arguments of a function that `typer.run` runs."""
    single = typer.Typer()
    single.command()(main)
    return misread(get_command(single), name, arguments)


def _below(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(command, TyperGroup):
        yield path, command
        return
    for name, inner in command.commands.items():
        yield from _below(f"{path} {name}", inner)


def _behind_options(group: TyperGroup, words: list[str]) -> list[str]:
    """The words behind a group's own options."""
    flags = {name for each in group.params if getattr(each, "is_flag", False) for name in each.opts}
    valued = options(group) - flags
    while words and words[0].startswith("-"):
        if words[0].split("=")[0] not in flags | valued:
            break
        words = words[2:] if words[0] in valued else words[1:]
    return words
