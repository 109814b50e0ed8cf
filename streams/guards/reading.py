"""Parses a text for all guards: once a text, cached, to be compared with many."""

from __future__ import annotations

from dataclasses import dataclass

from refrain.streams.guards.code import Code, read_code
from refrain.streams.guards.content_words import read_content
from refrain.streams.guards.frame import Letters, read_letters
from refrain.streams.guards.instruction import Instructions
from refrain.streams.guards.items import items
from refrain.streams.guards.language import is_english, languages
from refrain.streams.guards.names import Names, read_names
from refrain.streams.guards.negation import Negations, read_negations
from refrain.streams.guards.numbers import Quantities, read_quantities
from refrain.streams.guards.payload import Payload, read_payload
from refrain.streams.guards.question import Kind, read_kind
from refrain.streams.guards.roles import Roles, read_roles
from refrain.streams.guards.sentences import read_sentences
from refrain.streams.guards.small_words import SmallWords, read_small_words
from refrain.streams.lru import TextCache

REMEMBERED_CHARS = 500_000
"""Characters of the texts whose readings are cached: a reading takes about 160 bytes a character."""


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """Parsed text: what each guard compares. `rest` is the text beyond the length that is parsed."""

    text: str
    rest: str
    english: bool
    languages: frozenset[str]
    letters: Letters
    quantities: Quantities
    negations: Negations
    names: Names
    roles: Roles
    code: Code
    kind: Kind
    words: SmallWords
    payload: Payload
    instructions: Instructions


_readings: TextCache[Reading] = TextCache(REMEMBERED_CHARS)


def read(text: str) -> Reading:
    """The reading of a text, parsed unless it is cached; never raises."""
    found = _readings.get(text)
    if found is None:
        found = parse(text)
        _readings.put(text, found)
    return found


def parse(text: str) -> Reading:
    """Parse a text; never raises."""
    said, end = items(text)
    quantities = read_quantities(said.items)
    used = quantities.used
    english = is_english(said)
    roles = read_roles(said)
    words = read_small_words(said, used, text[:end], roles.symmetric)
    return Reading(
        text=text,
        rest=text[end:],
        english=english,
        languages=languages(said, english),
        letters=read_letters(said, text[:end]),
        quantities=quantities,
        negations=read_negations(said),
        names=read_names(said, used, read_content(said, used)),
        roles=roles,
        code=read_code(said, text[:end]),
        kind=read_kind(said),
        words=words,
        payload=read_payload(text[:end]),
        instructions=Instructions(read_sentences(said, used), words),
    )
