"""Types in the help: a flag takes no value, so none stands beside it; a list is given value by value."""

from __future__ import annotations

from typing import Any, get_args


def plain_flags(command: Any, parent: Any = None) -> Any:
    """Take the type from every flag of a command and of all below it, `--help` too, and show of others that of a value.

    Returns the command.

    `parent` is the context of the group that the command is of.
    """
    # A command makes its help option when it is first asked for, by the names of its parents, and keeps it.
    context = command.make_context(command.name, [], parent=parent, resilient_parsing=True)
    for option in (*command.params, command.get_help_option(context)):
        if getattr(option, "is_flag", False):
            option.metavar = ""
        elif option.metavar is None and option.param_type_name == "option":
            option.metavar = _one_value(option)
    for part in getattr(command, "commands", {}).values():
        plain_flags(part, context)
    return command


def _one_value(option: Any) -> str | None:
    """The type of one value of an option that is plain; None where the help has more to say of it."""
    described = getattr(option, "type_descriptor", None)
    if described is None or described.is_choice:
        return None
    (kind, *_) = get_args(described.annotation) or (described.annotation,)
    return f"<{kind.__name__}>" if kind in (str, int, float) else None
