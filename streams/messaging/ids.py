"""Ids made of parts: each kind is formatted by one function here and parsed by one.

    entry id      PARTITION-OFFSET-TAG     where the journal admitted an entry; in decisions, responses, commands
    request id    PARTITION-OFFSET-TAG     of a decision and of its forward: where `requests` holds the question
    partition key TOPIC_ID/PARTITION       in the high-water marks of a shard
    column id     NUMBER or NUMBER.SUFFIX  of a record of a shard's store; ban and quota ids are two names
    waiting id    REQUEST_ID or REQUEST_ID.again  of a request that waits for its first, or its second, flight

A topic id is base64url: it may hold `-` and `_` anywhere, so a text is never taken apart at every mark.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

_COORDINATES = re.compile(r"([0-9]{1,18})-([0-9]{1,18})-(.+)")
_PARTITION_KEY = re.compile(r"(.+)/([0-9]{1,18})")
TAG_CHARS = 8
COLUMN_DIGITS = 20


class EntryId(NamedTuple):
    """A parsed entry id: the coordinates of the journal record that admitted the entry."""

    partition: int
    offset: int
    """Of the journal record that brought it: its number in the shard."""
    tag: str
    """Names the journal's incarnation."""

    def is_of(self, incarnation: str) -> bool:
        """Whether the entry was admitted by the journal with that topic id."""
        return self.tag == incarnation[:TAG_CHARS]


class RequestId(NamedTuple):
    """A parsed id of a decision or forward: the coordinates of its request."""

    partition: int
    """Of `requests`."""
    offset: int
    tag: str
    """Names the incarnations of `requests` and `journal` (`decision_tag`)."""


class TopicPartitionKey(NamedTuple):
    """A parsed key of a partition of one incarnation of a topic."""

    topic_id: str
    partition: int


def wire_id(partition: int, number: int, incarnation: str) -> str:
    """The entry id: partition, the offset that admitted the entry, and the journal's incarnation."""
    return f"{partition}-{number}-{incarnation[:TAG_CHARS]}"


def parse_entry_id(id_: str) -> EntryId | None:
    """Parse an entry id (`wire_id`); None for any other text."""
    found = _COORDINATES.fullmatch(id_)
    return None if found is None else EntryId(int(found[1]), int(found[2]), found[3])


def parse_request_id(id_: str) -> RequestId | None:
    """Parse the id of a decision or forward (`decision_id`); None for a text that is none."""
    found = _COORDINATES.fullmatch(id_)
    return None if found is None else RequestId(int(found[1]), int(found[2]), found[3])


def topic_partition_key(topic_id: str, partition: int) -> str:
    """The key of a partition of a topic's incarnation."""
    return f"{topic_id}/{partition}"


def parse_topic_partition_key(key: str) -> TopicPartitionKey | None:
    """Parse the key of a partition of a topic's incarnation; None for a text that is none."""
    found = _PARTITION_KEY.fullmatch(key)
    return None if found is None else TopicPartitionKey(found[1], int(found[2]))


def column_id(number: int, suffix: str | None = None) -> str:
    """The id of a numbered record in its column: keys sort as numbers do. `suffix` tells those of one number apart."""
    return f"{number:0{COLUMN_DIGITS}d}" if suffix is None else f"{number:0{COLUMN_DIGITS}d}.{suffix}"


def parse_column_id(id_: str) -> tuple[int, str | None]:
    """Parse a column id: its number and suffix. Raises ValueError for a text that is none."""
    number, dot, suffix = id_.partition(".")
    if len(number) < COLUMN_DIGITS or not (number.isascii() and number.isdigit()):
        raise ValueError(f"{id_!r} does not begin with a number of {COLUMN_DIGITS} digits")
    return int(number), suffix if dot else None


def waiting_id(request_id: str, *, again: bool) -> str:
    """The id of a waiting request in its column. Records there are written once, so the second wait has its own."""
    return f"{request_id}.again" if again else request_id


def ban_id(namespace: str, answer: str) -> str:
    """The id of a banned answer: its namespace (hex) and its digest."""
    return f"{namespace}.{answer}"


def parse_ban_id(id_: str) -> tuple[str, str]:
    """Parse a ban id: its namespace (hex) and digest. Raises ValueError for a text that is none."""
    namespace, dot, answer = id_.partition(".")
    if not dot:
        raise ValueError(f"{id_!r} has no dot between a namespace and a digest")
    return namespace, answer


def quota_id(tenant: str, category: str) -> str:
    """The id of a tenant's quota of a category in the column `aging`. Names hold no `/`."""
    return f"{tenant}/{category}"


def parse_quota_id(id_: str) -> tuple[str, str]:
    """Parse a quota id: its tenant and category. Raises ValueError for a text that is none."""
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
