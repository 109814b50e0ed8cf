"""The standard streams as commands need them: there, and able to take any text."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper


def prepare_streams() -> None:
    """Open what the caller has closed, and let both outputs show what their encoding has no letter for, escaped.

    A stream that is closed leaves its number to the next file that is opened: a connection, say.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free: its own.
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def why_unwritable() -> str | None:
    """Why the output takes nothing more, None where it does, or whoever read it has gone (`| head`).

    What waits to be written is then dropped.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
    except OSError as error:
        drop_output()
        return error.strerror
    return None


def drop_output() -> None:
    """Write to nowhere from here, what waits to be written too: else the end of Python tries it once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
