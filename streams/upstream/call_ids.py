"""Ids of calls: by them the connector recognises a forward that it has already seen."""

from __future__ import annotations

import hashlib

from refrain.streams.errors import Refusal
from refrain.streams.messaging.routes import DirectRoute, decode_route


def call_id(forward_id: str, route: str) -> str:
    """The id by which a forward, or its completion, is known again: its forward id and its whole route.

    A route is signed, so nobody can write a completion beforehand by which a forward would count as answered. One
    request that is read again, under another policy, may be forwarded by the shard and by classify, under one forward
    id: both wait for an answer, by routes of their own.
    """
    return f"{forward_id}/{hashlib.blake2b(route.encode('utf-8', 'replace'), digest_size=12).hexdigest()}"


def is_direct(route: str, forward_id: str) -> bool:
    """Whether the answer goes straight to the requester; not so of a route that Refrain did not write."""
    try:
        return isinstance(decode_route(route, forward_id), DirectRoute)
    except Refusal:
        return False
