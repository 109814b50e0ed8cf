"""An entry's id outside its shard, in decisions, responses and commands."""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"(\d{1,18})-(\d{1,18})-(.+)", re.ASCII)
TAG_CHARS = 8


class Place(NamedTuple):
    """Where an entry was admitted."""

    partition: int
    offset: int
    """Of the journal record that brought it: its number in the shard."""
    tag: str
    """Names the journal's incarnation."""

    def is_of(self, incarnation: str) -> bool:
        """Whether the journal with that topic id brought it."""
        return self.tag == incarnation[:TAG_CHARS]


def wire_id(partition: int, number: int, incarnation: str) -> str:
    """The id: partition, the offset that admitted the entry, and the journal's incarnation."""
    return f"{partition}-{number}-{incarnation[:TAG_CHARS]}"


def place_of(id_: str) -> Place | None:
    """The place that an id names; None for a text that is no such id."""
    found = _FORM.fullmatch(id_)
    return None if found is None else Place(int(found[1]), int(found[2]), found[3])
