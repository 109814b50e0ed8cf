"""Flags in the help: a flag takes no value, so no type stands beside it."""

from __future__ import annotations

from typing import Any


def plain_flags(command: Any) -> Any:
    """Take the type from every flag of a command and of all below it, `--help` too; returns the command."""
    for option in (*command.params, _help_option(command)):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for part in getattr(command, "commands", {}).values():
        plain_flags(part)
    return command


def _help_option(command: Any) -> Any:
    """The option `--help`, which a command makes when it is first asked for, and keeps."""
    return command.get_help_option(command.make_context(command.name, [], resilient_parsing=True))
