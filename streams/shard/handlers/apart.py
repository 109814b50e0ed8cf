"""Forwards apart: who waited for the answer to other words, when that answer is not one to share.

An answer that is not kept (cut off, a refusal, a tool call, judged wrong ...) may not be given to similar questions
later, and for the same reason not to those that waited for it. They are forwarded as if they had come now, one forward
a text, and wait for that without another such turn. Their decisions stand: the responses say `miss`, or `coalesced`
where several asked in the same words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from refrain.schemas.documents import Flight, Waiting
from refrain.schemas.journal import Asked
from refrain.schemas.policy_limits import Limits
from refrain.schemas.responses import DecisionSummary, Outcome
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.ids import waiting_id
from refrain.streams.shard.columns import FLIGHTS, WAITING, Change
from refrain.streams.shard.handlers.forwarding import flight_of, forward_of
from refrain.streams.shard.state import Shard


class ForwardedApart(NamedTuple):
    """Effects and changes by which questions are forwarded; the flight they waited for completes before."""

    effects: list[Outgoing]
    changes: list[Change]


def forward_apart(shard: Shard, flight: Flight, waiting: Sequence[Waiting], record: Record) -> ForwardedApart:
    """Forward the questions of requests that wait for `flight` in other words. Changes nothing by itself."""
    by_text: dict[str, list[tuple[Asked, Waiting]]] = {}
    # In the order of their ids, which is the order in which a restored shard finds them.
    for each in sorted(waiting, key=lambda one: one.id):
        asked = Asked.decode(each.asked or "")
        by_text.setdefault(asked.text_digest, []).append((asked, each))
    out = ForwardedApart([], [])
    for same in by_text.values():
        _forward_first(shard, flight, same, record, out)
    return out


def _forward_first(
    shard: Shard, flight: Flight, same: list[tuple[Asked, Waiting]], record: Record, out: ForwardedApart
) -> None:
    """Forward the first of several that ask in the same words; all of them wait for it."""
    asked, first = same[0]
    deadline_at_ms = max(each.deadline_at_ms for _, each in same)
    limits = Limits() if shard.policy is None else shard.policy.policy.limits
    own = flight_of(shard, asked, flight.space, record, deadline_at_ms, limits)
    out.effects.append(forward_of(shard, asked, own, DecisionSummary.model_validate_json(first.decision)))
    out.changes.append(FLIGHTS.put(own.forward_id, own))
    for _, each in same:
        moved = each.model_copy(
            update={
                "forward_id": own.forward_id,
                "outcome": Outcome.MISS if each is first else Outcome.COALESCED,
                "offset": record.offset,
                "asked": None,
                "again": True,
            }
        )
        out.changes.append(WAITING.put(waiting_id(moved.id, again=True), moved))
