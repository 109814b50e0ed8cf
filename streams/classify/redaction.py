"""Whether a request that was refused may be `never` traffic: then its text must not lie in dead-letters.

A request that cannot be read cannot be classified either. Where in doubt, its text stays out.
"""

from __future__ import annotations

import re
from typing import Any

from refrain.streams.classify.routing import Router, RoutingInput, everything_said

_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def may_be_uncacheable(router: Router | None, value: bytes, parsed: dict[str, Any] | None) -> bool:
    """Whether to keep the text out. `parsed` is None when `value` is not JSON; without a policy nothing is harmless."""
    if router is None:
        return True
    ask = None if parsed is None else _ask(parsed)
    return router.looks_uncacheable(_loose(value)) if ask is None else router.may_be_uncacheable(ask)


def _ask(parsed: dict[str, Any]) -> RoutingInput | None:
    """What can be told of a request whose fields may be wrong; None when there are no messages to look at."""
    body = parsed.get("body")
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return None
    tags, category = parsed.get("tags"), parsed.get("category")
    return RoutingInput(
        tenant=str(parsed.get("tenant", "default")),
        model=str(body.get("model", "")),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        category=category if isinstance(category, str) else None,
        question=everything_said(body),
        body=body,
    )


def _loose(value: bytes) -> str:
    """The bytes as text, escapes of JSON undone, for a search only."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value.decode("utf-8", "replace"))
