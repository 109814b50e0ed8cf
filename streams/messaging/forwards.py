"""What of a request a forward carries, and how long it may take."""

from __future__ import annotations

from refrain.schemas.policy import Limits
from refrain.streams.messaging.responses import Body

NOT_FORWARDED = frozenset({"stream", "stream_options"})


def unstreamed(body: Body) -> Body:
    """The body as a model gets it: it answers in one piece."""
    return {name: value for name, value in body.items() if name not in NOT_FORWARDED}


def deadline_at_ms(asked_at_ms: int, wanted_at_ms: int | None, limits: Limits) -> int:
    """When nobody waits any more: what the client named, cut to the policy's longest wait."""
    longest = asked_at_ms + limits.answer_timeout_ms
    return longest if wanted_at_ms is None else min(longest, wanted_at_ms)
