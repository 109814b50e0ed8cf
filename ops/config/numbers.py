"""What is said of a value that should be a number: the unit that the name of its setting or field ends with."""

from __future__ import annotations

NO_NUMBER = frozenset({"int_parsing", "int_type", "int_from_float"})
UNITS = {"_ms": " of milliseconds, such as 30000", "_bytes_max": " of bytes"}
"""Endings of names, and what such a number counts."""


def number_wanted(name: str, mistake: str) -> str | None:
    """What is taken under a name, for a mistake of pydantic's (its type); None where that is of another kind."""
    if mistake not in NO_NUMBER:
        return None
    return "must be a whole number" + next((unit for ending, unit in UNITS.items() if name.endswith(ending)), "")
