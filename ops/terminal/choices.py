"""Values of options that come from a list: a wrong one is refused, with the one that was probably meant."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TypeVar

import typer

from refrain.streams.nearest import nearest

NAMED_MAX = 12
"""Values that a refusal lists where none is near."""
Given = TypeVar("Given", str, "str | None", "list[str]", "list[str] | None")


def suggestion(value: str, known: Iterable[str]) -> str:
    """The nearest known value, or those there are, as the end of a sentence; empty where there is none at all."""
    names = sorted({str(name) for name in known})
    meant = nearest(value, tuple(names))
    if meant is not None:
        return f"did you mean {meant!r}?"
    shown = ", ".join(names[:NAMED_MAX]) + (", …" if len(names) > NAMED_MAX else "")
    return f"choose from {shown}" if names else ""


def check_choice(value: str, known: Collection[str], what: str = "value", option: str | None = None) -> None:
    """Raises typer.BadParameter for a value that is not known, saying which was probably meant."""
    if value not in known:
        meant = suggestion(value, known)
        raise typer.BadParameter(f"{value!r} is no {what}{': ' + meant if meant else ''}", param_hint=option)


def one_of(known: Sequence[str], what: str = "value of this option") -> Callable[[Given], Given]:
    """A callback of an option or argument whose values come from a list; an option may be given several times."""

    def check(given: Given) -> Given:
        for value in [given] if isinstance(given, str) else given or ():
            check_choice(value, known, what)
        return given

    return check


def suggest_choices(command: Any) -> Any:
    """Let every option of a command and of all below it that takes one of a list suggest the nearest; returns it."""
    for option in command.params:
        described = getattr(option, "type_descriptor", None)
        if described is not None and described.is_choice:
            _suggest(option, [str(getattr(choice, "value", choice)) for choice in described.choices])
    for part in getattr(command, "commands", {}).values():
        suggest_choices(part)
    return command


def _suggest(option: Any, known: Sequence[str]) -> None:
    process = option.process_value

    def checked(context: Any, value: Any) -> Any:
        for given in [value] if isinstance(value, str) else value or ():
            if given not in known:
                meant = suggestion(str(given), known)
                raise typer.BadParameter(f"{given!r} is no value of it: {meant}", ctx=context, param=option)
        return process(context, value)

    option.process_value = checked
