"""The one spelling of a source in headers and options: `ID`, or `ID@VERSION`."""

from __future__ import annotations


def split_source(text: str) -> tuple[str, str]:
    """Id and version; the last `@` divides them, and without one the version is empty."""
    id_, at, version = text.rpartition("@")
    return (id_, version) if at else (text, "")
