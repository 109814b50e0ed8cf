"""Canonical JSON: one spelling of equal values, so that digests of a request's parts are equal when the parts are."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from refrain.streams.errors import Refusal, RefusalCode

CANONICAL_DEPTH_MAX = 256

_encode = json.JSONEncoder(sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def canonical(value: Any) -> bytes:
    """Encode a value as canonical JSON: keys sorted, numbers by value (1.0 is 1, -0.0 is 0), strings as they are.

    Raises Refusal(BAD_FIELD) for NaN, infinity and lone surrogates, Refusal(TOO_DEEP) beyond 256 levels.
    """
    try:
        return _encode(_normalised(value, CANONICAL_DEPTH_MAX)).encode()
    except UnicodeEncodeError:
        raise Refusal(RefusalCode.BAD_FIELD, "a text holds half of a surrogate pair: send whole characters") from None


def _normalised(value: Any, depth: int) -> Any:
    """The value with integral floats as integers."""
    kind = type(value)
    if kind is str or kind is int or value is None or kind is bool:
        return value
    if kind is float:
        if not math.isfinite(value):
            raise _bad("a number is not finite")
        return _exact_int(value) if value.is_integer() else value
    if depth == 0:
        raise Refusal(RefusalCode.TOO_DEEP, f"a value nests deeper than {CANONICAL_DEPTH_MAX} levels")
    if isinstance(value, Mapping):
        return {name: _normalised(item, depth - 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_normalised(item, depth - 1) for item in value]
    raise _bad(f"{kind.__name__} is no JSON value")


def _exact_int(number: float) -> int:
    # As it is written, and forwarded: 1e25 is 10**25, though the nearest float is a little more.
    return int(number) if abs(number) < 2**53 else int(Decimal(repr(number)))


def _bad(text: str) -> Refusal:
    return Refusal(RefusalCode.BAD_FIELD, text)
