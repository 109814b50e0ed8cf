"""The prose of a help, for any width: its lines are broken by the terminal, and examples stand below each other."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import Any

HEADING = re.compile(r"\[bold\][^\[\]]+\[/bold\]")


def flow_help(command: Any) -> Any:
    """Let the help of a command and of all below it flow; returns the command."""
    command.help = command.help and flowed(command.help)
    command.epilog = command.epilog and flowed(command.epilog)
    for part in getattr(command, "commands", {}).values():
        flow_help(part)
    return command


def flowed(text: str) -> str:
    """A text whose paragraphs are one line each; under a heading, which `[bold]` marks, no empty line is between them.

    Pure.
    """
    made: list[str] = []
    listed = False
    for paragraph in re.split(r"\n\s*\n", cleandoc(text)):
        line = " ".join(part.strip() for part in paragraph.split("\n"))
        if HEADING.fullmatch(line):
            made.append(line)
            listed = True
        elif listed:
            made[-1] += f"\n{line}"
        else:
            made.append(line)
    return "\n\n".join(made)
