"""Flags in the help: a flag takes no value, so no type stands beside it."""

from __future__ import annotations

from typing import Any


def plain_flags(command: Any, parent: Any = None) -> Any:
    """Take the type from every flag of a command and of all below it, `--help` too; returns the command.

    `parent` is the context of the group that the command is of.
    """
    # A command makes its help option when it is first asked for, by the names of its parents, and keeps it.
    context = command.make_context(command.name, [], parent=parent, resilient_parsing=True)
    for option in (*command.params, command.get_help_option(context)):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for part in getattr(command, "commands", {}).values():
        plain_flags(part, context)
    return command
