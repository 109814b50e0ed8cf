"""Forwards a question: the flight that the shard keeps of it, and the record for the model."""

from __future__ import annotations

import json

from refrain.schemas.documents import Flight
from refrain.schemas.forwards import Forward
from refrain.schemas.journal import Asked
from refrain.schemas.policy_limits import Limits
from refrain.schemas.responses import DecisionSummary
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.forwards import unstreamed
from refrain.streams.messaging.progress import place_of
from refrain.streams.messaging.routes import ShardRoute, encode_route
from refrain.streams.shard.state import Shard


def flight_of(shard: Shard, asked: Asked, space: str, record: Record, deadline_at_ms: int, limits: Limits) -> Flight:
    """The flight of a question that is forwarded with `record`; `space` is whose entries may serve."""
    return Flight.trusted(
        **asked.question_key() | {"space": space},
        forward_id=asked.id,
        offset=record.offset,
        deadline_at_ms=deadline_at_ms,
        # A late answer is still worth keeping: the flight outlives its deadline by as much again.
        expires_at_ms=2 * deadline_at_ms - shard.time_ms + limits.answer_timeout_ms,
    )


def forward_of(shard: Shard, asked: Asked, flight: Flight, told: DecisionSummary | None) -> Outgoing:
    """Forward of the question; `told` goes to its requester with the answer, None when nobody waits for it."""
    route = ShardRoute.trusted(
        forward_id=flight.forward_id,
        incarnation=shard.incarnation,
        partition=shard.partition,
        category=asked.category,
        request_id=asked.request_id,
        tenant=asked.tenant,
        reply=None if told is None else asked.reply,
        decision=told,
        deadline_at_ms=flight.deadline_at_ms,
    )
    return forward_by(asked, encode_route(route), flight.deadline_at_ms)


def forward_by(asked: Asked, route: str, deadline_at_ms: int) -> Outgoing:
    """Forward of the question whose answer comes back by `route`."""
    body = unstreamed(json.loads(asked.body.data))
    forward = Forward(
        forward_id=asked.id,
        model=asked.model,
        body=body,
        deadline_at_ms=deadline_at_ms,
        route=route,
        progress=place_of(asked.reply),
    )
    return Outgoing("forwards", asked.id.encode(), forward.encode())
