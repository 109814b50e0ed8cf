"""Ids of calls: by what the connector knows a forward again."""

from __future__ import annotations

from refrain.streams.errors import Refusal
from refrain.streams.messaging.routes import DirectRoute, decode_route


def call_id(forward_id: str, route: str) -> str:
    """The id by which a forward, or its completion, is known again.

    One request that is read again, under another policy, may be forwarded by the shard and by classify, under one id:
    both wait for an answer, by routes of their own.
    """
    return f"{forward_id}/direct" if is_direct(route, forward_id) else forward_id


def is_direct(route: str, forward_id: str) -> bool:
    """Whether the answer goes straight to the requester; not so of a route that Refrain did not write."""
    try:
        return isinstance(decode_route(route, forward_id), DirectRoute)
    except Refusal:
        return False
