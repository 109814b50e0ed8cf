"""Parses a text for all guards: once a text, cached, to be compared with many."""

from __future__ import annotations

from refrain.streams.guards.code import Code, read_code
from refrain.streams.guards.content_words import Content
from refrain.streams.guards.forms import Forms, read_forms
from refrain.streams.guards.frame import Letters, read_letters
from refrain.streams.guards.instruction import Instructions
from refrain.streams.guards.items import items
from refrain.streams.guards.language import is_english, languages
from refrain.streams.guards.leads import without_lead
from refrain.streams.guards.names import Names
from refrain.streams.guards.negation import Negations
from refrain.streams.guards.numbers import Quantities, read_quantities
from refrain.streams.guards.once import Once
from refrain.streams.guards.payload import Payload, read_payload
from refrain.streams.guards.question import Kind, read_kind
from refrain.streams.guards.requests import as_asked
from refrain.streams.guards.roles import Roles, read_roles
from refrain.streams.guards.sentences import read_sentences, without_politeness
from refrain.streams.guards.small_words import SmallWords, read_small_words
from refrain.streams.guards.stutter import without_stutter
from refrain.streams.lru import TextCache

REMEMBERED_CHARS = 500_000
"""Characters of the texts whose readings are cached: a reading takes about 160 bytes a character."""


class Reading:
    """Parsed text: what each guard compares. What is compared is read when the first guard asks for it."""

    def __init__(self, text: str) -> None:
        """Normalise a text to its items; never raises, nor does reading any part of it."""
        said, end = items(text)
        self.text = text
        self.rest = text[end:]
        """The text beyond the length that is parsed."""
        self._said = as_asked(without_lead(without_politeness(without_stutter(said))))
        self._looked = text[:end]

    @Once
    def english(self) -> bool:
        return is_english(self._said)

    @Once
    def languages(self) -> frozenset[str]:
        return languages(self._said, self.english)

    @Once
    def letters(self) -> Letters:
        return read_letters(self._said, self._looked)

    @Once
    def quantities(self) -> Quantities:
        return read_quantities(self._said.items)

    @Once
    def negations(self) -> Negations:
        return Negations(self._said)

    @Once
    def names(self) -> Names:
        used = self.quantities.used
        return Names(self._said, used, Content(self._said, used))

    @Once
    def roles(self) -> Roles:
        return read_roles(self._said)

    @Once
    def code(self) -> Code:
        return read_code(self._said, self._looked)

    @Once
    def kind(self) -> Kind:
        return read_kind(self._said)

    @Once
    def words(self) -> SmallWords:
        return read_small_words(self._said, self.quantities.used, self._looked, self.roles.symmetric)

    @Once
    def payload(self) -> Payload:
        return read_payload(self._looked)

    @Once
    def forms(self) -> Forms:
        return read_forms(self._said)

    @Once
    def instructions(self) -> Instructions:
        return Instructions(read_sentences(self._said, self.quantities.used), self.words)


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
    return Reading(text)
