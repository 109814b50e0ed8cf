"""Wrong usage is told in one form, whoever finds it: the parser of the command line, a command, or what that calls."""

from __future__ import annotations

from typing import Any

import typer

from refrain.ops.terminal.exit_codes import WRONG_USAGE


def tell_as_usage(command: Any) -> Any:
    """Let a command and all below it tell errors of the command line as its parser does; returns the command."""
    for part in getattr(command, "commands", {}).values():
        tell_as_usage(part)
    invoke = command.invoke

    def told(context: Any) -> Any:
        try:
            return invoke(context)
        except WRONG_USAGE as wrong:
            raise typer.BadParameter(str(wrong), ctx=context, param_hint=getattr(wrong, "option", None)) from wrong

    command.invoke = told
    return command
