"""A text as the guards see it: read once, compared with many."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from refrain.streams.guards.code import Code, read_code
from refrain.streams.guards.content_words import read_content
from refrain.streams.guards.items import items
from refrain.streams.guards.language import is_english
from refrain.streams.guards.names import Names, read_names
from refrain.streams.guards.negation import Denials, read_denials
from refrain.streams.guards.numbers import Figures, read_figures
from refrain.streams.guards.question import Kind, read_kind
from refrain.streams.guards.roles import Roles, read_roles
from refrain.streams.guards.tokens import tokens

REMEMBERED = 16_384
"""Texts whose reading is remembered."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """A text read for the guards. `rest` is what lies beyond the bounds of what is looked at."""

    text: str
    rest: str
    english: bool
    figures: Figures
    denials: Denials
    names: Names
    roles: Roles
    code: Code
    kind: Kind


@lru_cache(maxsize=REMEMBERED)
def read(text: str) -> Read:
    """Reads a text; never raises."""
    found, end = tokens(text)
    said = items(found, text)
    figures = read_figures(said)
    content = read_content(said, figures.used)
    return Read(
        text=text,
        rest=text[end:],
        english=is_english(said),
        figures=figures,
        denials=read_denials(said),
        names=read_names(said, figures.used, content),
        roles=read_roles(said),
        code=read_code(said, text[:end]),
        kind=read_kind(said),
    )
