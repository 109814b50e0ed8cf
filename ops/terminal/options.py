"""Global options (before the command), kept in the context for the command."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from refrain.streams.settings import Settings

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """Options of `refrain` itself."""

    config: Path | None = None
    debug: bool = False
    prefix: str | None = None
    """In place of the setting."""
    started_s: float = field(default_factory=time.monotonic)
    """When the command began, by the monotonic clock (seconds)."""


def options_of(context: typer.Context) -> Options:
    """Global options of a context."""
    found = context.find_object(Options)
    return found if found is not None else Options()


def settings_of(context: typer.Context) -> Settings:
    """Load the settings. Raises WrongSetup."""
    from refrain.ops.config.settings import load_settings

    options = options_of(context)
    given = {} if options.prefix is None else {"REFRAIN_PREFIX": options.prefix}
    return load_settings({**os.environ, **given}, options.config)


def read_option(reader: Callable[[str], T], text: str | None, option: str | None = None) -> T | None:
    """Read the text of an option, None where it was not given. Raises typer.BadParameter for what `reader` refuses."""
    try:
        return None if text is None else reader(text)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint=option) from wrong
