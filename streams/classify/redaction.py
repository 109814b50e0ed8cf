"""Redaction of dead letters: whether a refused request may be `never` traffic, whose text stays out of them.

A request that cannot be read cannot be classified either. Where in doubt, its text stays out.
"""

from __future__ import annotations

import re
from typing import Any

from refrain.streams.classify.routing import Router, RoutingInput, all_text

_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def may_be_uncacheable(
    router: Router | None, value: bytes, parsed: dict[str, Any] | None, tenant: str | None = None
) -> bool:
    """Whether to redact the text. `parsed` is None when `value` is not JSON; without a policy it always is.

    `tenant` is the one that the record is bound to, None where the request's own field counts.
    """
    if router is None:
        return True
    request = None if parsed is None else _routing_input(parsed)
    if request is None:
        bound = "" if tenant is None else f' "{tenant}"'
        return router.looks_uncacheable(_searchable(value) + bound)
    if tenant is not None and router.may_be_uncacheable(request._replace(tenant=tenant)):
        return True
    return router.may_be_uncacheable(request)


def _routing_input(parsed: dict[str, Any]) -> RoutingInput | None:
    """The routing input of a request whose fields may be wrong; None without messages."""
    body = parsed.get("body")
    if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
        return None
    tags, category = parsed.get("tags"), parsed.get("category")
    return RoutingInput(
        tenant=str(parsed.get("tenant", "default")),
        model=str(body.get("model", "")),
        tags=tuple(str(tag) for tag in tags) if isinstance(tags, list) else (),
        category=category if isinstance(category, str) else None,
        question=all_text(body),
        body=body,
    )


def _searchable(value: bytes) -> str:
    """The bytes as text to search in, with JSON's escapes undone."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value.decode("utf-8", "replace"))
