"""Values that are wrong whatever the command does with them: blank ones, bytes that are no text, numbers beyond all
bounds, ids of no form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import typer

from refrain.schemas.names import NAME_PATTERN

WHOLE_MAX = 2**63 - 1
NUMBER_MAX = 1e9
"""More seconds than a life has; no rate, share or score comes near it."""
ID_PATTERN = r"[0-9]{1,18}-[0-9]{1,18}-[A-Za-z0-9_-]+"
FORMS = {
    "--tenant": (NAME_PATTERN, "no name of a tenant: that is 1 to 64 letters, digits, `.`, `_` and `-`"),
    "--entry": (ID_PATTERN, "no id of an entry: that is PARTITION-OFFSET-TAG"),
    "--decision": (ID_PATTERN, "no id of a decision: that is PARTITION-OFFSET-TAG"),
}
"""By the name of an option, in any command: the form of its values, and what is said of another."""


def check_values(command: Any) -> Any:
    """Let every option and argument of a command and of all below it refuse such values; returns the command."""
    parts = getattr(command, "commands", {})
    for part in parts.values():
        check_values(part)
    # Of options before the command, an empty prefix is a prefix.
    for option in () if parts else command.params:
        if not getattr(option, "is_flag", False):
            _check(option)
    return command


def _check(option: Any) -> None:
    process = option.process_value
    says = [say for say in (_blank(option), _formless(option), _undecoded(option)) if say is not None]

    def checked(context: Any, value: Any) -> Any:
        for given in _each(value):
            if isinstance(given, str):
                for say in says:
                    _refuse(say(given), context, option)
        taken = process(context, value)
        for each in _each(taken):
            _refuse(unbounded(each), context, option)
        return taken

    option.process_value = checked


def _each(value: object) -> Sequence[object]:
    """The values that an option was given; one that is given once has one."""
    return value if isinstance(value, list | tuple) else [value]


def _refuse(said: str | None, context: Any, option: Any) -> None:
    if said is not None:
        raise typer.BadParameter(said, ctx=context, param=option)


def _blank(option: Any) -> Callable[[str], str | None] | None:
    """What is said of a blank value; None where that is the option's default, and so a value like others."""
    if option.default == "":
        return None
    instead = "give a value" if option.param_type_name == "argument" else "give a value, or leave it out"
    return lambda value: None if value.strip() else f"it is empty: {instead}"


def _formless(option: Any) -> Callable[[str], str | None] | None:
    pattern, said = next((FORMS[name] for name in option.opts if name in FORMS), (None, ""))
    if pattern is None:
        return None
    return lambda value: None if re.fullmatch(pattern, value) else f"{value!r} is {said}"


def _undecoded(option: Any) -> Callable[[str], str | None] | None:
    """What is said of bytes that are no text; None for an option that takes the path of a file, which may be any."""
    described = getattr(option, "type_descriptor", None)
    if described is not None and Path in (described.annotation, *get_args(described.annotation)):
        return None
    return lambda value: None if _is_text(value) else f"{value!r} holds bytes that are no characters of UTF-8"


def _is_text(value: str) -> bool:
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def unbounded(value: object) -> str | None:
    """What is said of a number that no option takes; None for all else."""
    if isinstance(value, float) and not (math.isfinite(value) and abs(value) <= NUMBER_MAX):
        return f"{value:g} is no number that it takes: {NUMBER_MAX:,.0f} at most"
    if isinstance(value, int) and abs(value) > WHOLE_MAX:
        return f"{value:.0e} is no number that it takes: {WHOLE_MAX} at most"
    return None
