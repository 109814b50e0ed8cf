"""Routes: the opaque `route` of a forward, by which its completion returns to a shard or a requester.

On the wire they are signed (`refrain.streams.messaging.signed_routes`).
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

from refrain.schemas.base import Millis, Part, Reply
from refrain.schemas.responses import DecisionSummary
from refrain.streams.errors import Refusal, RefusalCode


class ShardRoute(Part):
    """A route to the shard that remembers who waits.

    What follows `partition` is for an answer that may not pass through the shard any more, because its category has
    become `never`: it goes to the requester directly. Without a `reply` nobody is told.
    """

    to: Literal["shard"] = "shard"
    forward_id: str
    incarnation: str
    partition: int
    category: str | None = None
    request_id: str | None = None
    tenant: str | None = None
    reply: Reply | None = None
    decision: DecisionSummary | None = None
    deadline_at_ms: Millis | None = None
    """When the shard tells the requester that no answer came."""


class DirectRoute(Part):
    """A route straight to the requester: no shard knows of this question."""

    to: Literal["direct"] = "direct"
    forward_id: str
    request_id: str | None = None
    tenant: str
    reply: Reply
    decision: DecisionSummary
    asked_at_ms: Millis | None = None
    """The broker's stamp of the request; None in routes of an older classify, and of a shard."""


_ROUTES: TypeAdapter[ShardRoute | DirectRoute] = TypeAdapter(
    Annotated[ShardRoute | DirectRoute, Field(discriminator="to")]
)


def encode_route(route: ShardRoute | DirectRoute) -> str:
    """Encode a route as one opaque string."""
    return base64.urlsafe_b64encode(route.model_dump_json().encode()).decode("ascii")


def decode_route(text: str, forward_id: str) -> ShardRoute | DirectRoute:
    """Decode a route and check that it names `forward_id`. Raises Refusal(NOT_ASKED).

    A signature behind it is not looked at: who acts by a route opens it with `RouteSigner`.
    """
    try:
        route = _ROUTES.validate_json(base64.urlsafe_b64decode(text.partition(".")[0].encode("ascii")))
    except (ValueError, binascii.Error, UnicodeEncodeError, ValidationError):
        raise Refusal(RefusalCode.NOT_ASKED, "the route is none that Refrain wrote") from None
    if route.forward_id != forward_id:
        raise Refusal(RefusalCode.NOT_ASKED, "the route belongs to another forward")
    return route
