"""Warnings to requesters: what was taken, and probably not meant. They travel in the headers that a response returns.

So a shard needs to know nothing of them: what it carries back for a request holds them already.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from refrain.schemas.requests import Request
from refrain.streams.kafka.interface import Headers
from refrain.streams.nearest import nearest

HEADER = "refrain.warning"
"""One header a warning; a client's own of that name does not come back."""
WARNINGS_MAX = 5
FIELDS = frozenset(Request.model_fields)
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def warned(headers: Headers, warnings: Iterable[str]) -> Headers:
    """The headers with these warnings behind them, and none that a client has sent."""
    own = tuple(pair for pair in headers if pair[0] != HEADER)
    return own + tuple((HEADER, text.encode()) for text in warnings)


def warnings_in(headers: Iterable[tuple[str, bytes | None]]) -> tuple[str, ...]:
    """The warnings that headers carry."""
    return tuple((value or b"").decode("utf-8", "replace") for name, value in headers if name == HEADER)


def warnings_of(parsed: Mapping[str, Any], category: str | None, known: Collection[str] | None) -> list[str]:
    """Warnings of a request: fields that are not known, and a category that the policy does not define.

    `known` are the categories of the policy in force, None without one.
    """
    found = [_field_warning(name) for name in sorted(parsed.keys() - FIELDS)[:WARNINGS_MAX]]
    if category is not None and known is not None and category not in known:
        found.insert(0, f"the policy has no category {category!r}{_meant(category, known)}")
    return found[:WARNINGS_MAX]


def _field_warning(name: str) -> str:
    if not _NAME.fullmatch(name):
        return "a field of the request is not known, and was ignored"
    return f"the request has no field {name!r}, it was ignored{_meant(name, FIELDS)}"


def _meant(name: str, known: Collection[str]) -> str:
    found = nearest(name, tuple(sorted(known)))
    return "" if found is None else f": did you mean {found!r}?"
