"""What is wrong with a policy beyond its fields' types, and how it is told."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError


class Flaw(NamedTuple):
    """What is wrong with fields that are right by themselves, at the one to change."""

    loc: tuple[str | int, ...]
    text: str
    value: object


def refuse(title: str, flaws: Sequence[Flaw]) -> None:
    """Raises ValidationError with each flaw at its own place; pydantic puts the place of the whole before it."""
    if flaws:
        details = [
            # The text goes in as a value: braces of its own would be taken for places to fill.
            InitErrorDetails(type=PydanticCustomError("policy", "{text}", {"text": f.text}), loc=f.loc, input=f.value)
            for f in flaws
        ]
        raise ValidationError.from_exception_data(title, details)


def regular_expression(pattern: str) -> str:
    """The pattern, which is a regular expression. Raises ValueError for one that is none."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"not a regular expression: {pattern!r}: {error}") from error
    return pattern
