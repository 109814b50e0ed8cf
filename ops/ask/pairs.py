"""Options of `refrain ask` that are pairs: sources, `vary` and headers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import typer
from pydantic import ValidationError

from refrain.schemas.base import Source
from refrain.streams.messaging.source_names import split_source


def read_sources(texts: Sequence[str] | None) -> tuple[Source, ...]:
    """The sources of `ID`, `ID@VERSION` or `ID=VERSION`; the first `=` divides where there is one, else the last `@`.

    Raises typer.BadParameter for one that is too long or has no id.
    """
    found = []
    for text in texts or ():
        id_, equals, version = text.partition("=")
        if not equals:
            id_, version = split_source(text)
        try:
            found.append(Source(id=id_, version=version))
        except ValidationError as wrong:
            problem = wrong.errors(include_url=False)[0]
            said = f"{problem['loc'][0]}: {problem['msg']}"
            raise typer.BadParameter(f"{text!r} names no source ({said})", param_hint="--source") from wrong
    return tuple(found)


def read_vary(texts: Sequence[str] | None) -> dict[str, Any]:
    """The `vary` object of `NAME=VALUE`; a value that is JSON is what it says, any other one a text.

    Raises typer.BadParameter for a text that is no such pair, and for a name that stands twice.
    """
    return {name: _value(value) for name, value in _pairs(texts or (), "--vary", once=True)}


def read_headers(texts: Sequence[str] | None) -> list[tuple[str, bytes]]:
    """The headers of `NAME=VALUE`; a name may stand several times. Raises typer.BadParameter for what is no pair."""
    return [(name, value.encode()) for name, value in _pairs(texts or (), "--header", once=False)]


def _pairs(texts: Iterable[str], option: str, *, once: bool) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{text!r} is no pair: write NAME=VALUE", param_hint=option)
        if once and name in dict(found):
            raise typer.BadParameter(f"{name!r} is given twice", param_hint=option)
        found.append((name, value))
    return found


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
