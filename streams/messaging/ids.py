"""Ids that are made of parts: each kind is written by one function here and read by one.

    entry id      PARTITION-OFFSET-TAG     where the journal admitted an entry; in decisions, responses, commands
    request id    PARTITION-OFFSET-TAG     of a decision and of its forward: where `requests` holds the question
    topic place   TOPIC_ID/PARTITION       in the high-water marks of a shard
    column id     NUMBER or NUMBER.SUFFIX  of a record of a shard's store; ban and room ids are two names

A topic id is base64url: it may hold `-` and `_` anywhere, so a text is never taken apart at every mark.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_FORM = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-(.+)")
_TOPIC_PLACE = re.compile(r"(.+)/([0-9]{1,18})")
TAG_CHARS = 8
COLUMN_DIGITS = 20


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


class RequestPlace(NamedTuple):
    """Where the question of a decision or a forward was asked."""

    partition: int
    """Of `requests`."""
    offset: int
    tag: str
    """Names the incarnations of `requests` and `journal` (`decision_tag`)."""


class TopicPlace(NamedTuple):
    """A partition of one incarnation of a topic."""

    topic_id: str
    partition: int


def wire_id(partition: int, number: int, incarnation: str) -> str:
    """The entry id: partition, the offset that admitted the entry, and the journal's incarnation."""
    return f"{partition}-{number}-{incarnation[:TAG_CHARS]}"


def place_of(id_: str) -> Place | None:
    """The place that an entry id names; None for a text that is no such id."""
    found = _FORM.fullmatch(id_)
    return None if found is None else Place(int(found[1]), int(found[2]), found[3])


def request_place_of(id_: str) -> RequestPlace | None:
    """The place that the id of a decision or a forward (`decision_id`) names; None for a text that is no such id."""
    found = _FORM.fullmatch(id_)
    return None if found is None else RequestPlace(int(found[1]), int(found[2]), found[3])


def topic_place(topic_id: str, partition: int) -> str:
    """The key of a partition of a topic's incarnation."""
    return f"{topic_id}/{partition}"


def topic_place_of(key: str) -> TopicPlace | None:
    """The partition that such a key names; None for a text that is no such key."""
    found = _TOPIC_PLACE.fullmatch(key)
    return None if found is None else TopicPlace(found[1], int(found[2]))


def column_id(number: int, suffix: str | None = None) -> str:
    """The id of a numbered record in its column: keys sort as numbers do. `suffix` tells those of one number apart."""
    return f"{number:0{COLUMN_DIGITS}d}" if suffix is None else f"{number:0{COLUMN_DIGITS}d}.{suffix}"


def parts_of_column_id(id_: str) -> tuple[int, str | None]:
    """Number and suffix of a column id. Raises ValueError for a text that is none."""
    number, dot, suffix = id_.partition(".")
    if len(number) < COLUMN_DIGITS or not (number.isascii() and number.isdigit()):
        raise ValueError(f"{id_!r} does not begin with a number of {COLUMN_DIGITS} digits")
    return int(number), suffix if dot else None


def ban_id(namespace: str, answer: str) -> str:
    """The id of a banned answer: its namespace (hex) and its digest."""
    return f"{namespace}.{answer}"


def parts_of_ban_id(id_: str) -> tuple[str, str]:
    """Namespace (hex) and digest of a ban id. Raises ValueError for a text that is none."""
    namespace, dot, answer = id_.partition(".")
    if not dot:
        raise ValueError(f"{id_!r} has no dot between a namespace and a digest")
    return namespace, answer


def room_id(tenant: str, category: str) -> str:
    """The id of a tenant's share of a category in the column `aging`. Names hold no `/`."""
    return f"{tenant}/{category}"


def parts_of_room_id(id_: str) -> tuple[str, str]:
    """Tenant and category of a room id. Raises ValueError for a text that is none."""
    tenant, slash, category = id_.partition("/")
    if not slash or "/" in category:
        raise ValueError(f"{id_!r} is not TENANT/CATEGORY")
    return tenant, category


def decision_tag(requests_topic_id: str, journal_topic_id: str) -> str:
    """12 hex digits that name these incarnations of the two topics: a recreated topic never repeats an id."""
    return hashlib.sha256(f"{requests_topic_id}/{journal_topic_id}".encode()).hexdigest()[:12]


def decision_id(partition: int, offset: int, tag: str) -> str:
    """The id of the decision, and of the forward, of the request at these coordinates."""
    return f"{partition}-{offset}-{tag}"
