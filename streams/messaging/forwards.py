"""The body and the deadline of a forward, from those of its request."""

from __future__ import annotations

from refrain.schemas.policy_limits import Limits
from refrain.streams.messaging.responses import Body

NOT_FORWARDED = frozenset({"stream", "stream_options"})


def unstreamed(body: Body) -> Body:
    """The body without streaming: a model answers a forward in one piece."""
    return {name: value for name, value in body.items() if name not in NOT_FORWARDED}


def deadline_at_ms(asked_at_ms: int, wanted_at_ms: int | None, limits: Limits) -> int:
    """The deadline of a request: the one that the client named, cut to the policy's longest wait."""
    longest = asked_at_ms + limits.answer_timeout_ms
    return longest if wanted_at_ms is None else min(longest, wanted_at_ms)
