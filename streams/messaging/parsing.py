"""Parses the value of a record into a request, or raises the one refusal that says what is wrong.

JSON is parsed once. What the cache relies on later is settled here: bounded depth, whole characters, finite numbers,
and no field twice (parsers would disagree about which one counts).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

import numpy as np
from pydantic import ValidationError

from refrain.schemas.requests import Request
from refrain.streams.errors import Refusal, RefusalCode
from refrain.streams.messaging.decoding import of_unknown_version, unknown_version
from refrain.streams.messaging.validation import wrong_fields

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?+', re.DOTALL)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[[ord("["), ord("{")]] = 1
_STEPS[[ord("]"), ord("}")]] = -1


def parse(value: bytes | None, *, bytes_max: int, depth_max: int) -> dict[str, Any]:
    """Parse the JSON object in `value`.

    Raises Refusal: UNREADABLE, TOO_LARGE, TOO_DEEP, or BAD_FIELD for what JSON allows and a request must not hold.
    """
    if value is None:
        raise _unreadable("the record has no value")
    if len(value) > bytes_max:
        raise Refusal(RefusalCode.TOO_LARGE, f"the request has {len(value)} bytes, {bytes_max} are taken: shorten it")
    check_depth(value, depth_max)
    try:
        parsed = _DECODER.decode(value.decode())
    except UnicodeDecodeError as error:
        raise _unreadable(f"not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise _unreadable(f"not JSON: {error.msg} at character {error.pos}") from None
    except ValueError:
        # Python takes no number of more than 4,300 digits.
        raise _unreadable("a number has too many digits") from None
    if not isinstance(parsed, dict):
        raise _unreadable("not a JSON object")
    if _SURROGATE.search(value) is not None:
        _check_characters(parsed)
    return parsed


def check_depth(value: bytes, depth_max: int) -> None:
    """Check the depth of JSON by its bytes alone, so nothing recurses. Raises Refusal(TOO_DEEP)."""
    if value.count(b"[") + value.count(b"{") <= depth_max:
        return
    steps = _STEPS[np.frombuffer(_STRING.sub(b"", value), dtype=np.uint8)]
    depth = int(np.cumsum(steps, dtype=np.int32).max(initial=0))
    if depth > depth_max:
        raise Refusal(RefusalCode.TOO_DEEP, f"JSON nests {depth} levels deep, {depth_max} are taken: flatten it")


def request_of(parsed: dict[str, Any]) -> Request:
    """Validate a request. Raises Refusal: UNKNOWN_VERSION, or BAD_FIELD naming the fields, never their values."""
    version = unknown_version(parsed.get("v"))
    if version is not None:
        raise of_unknown_version(version)
    try:
        return Request.model_validate(parsed)
    except ValidationError as error:
        # Not chained: the original error holds what the client wrote, and this one is logged and kept.
        raise Refusal(RefusalCode.BAD_FIELD, wrong_fields(error)) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise Refusal(RefusalCode.BAD_FIELD, "an object names a field twice: name each once")
    return fields


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise Refusal(RefusalCode.BAD_FIELD, "a number is too large")
    return number


def _no_constant(text: str) -> NoReturn:
    raise Refusal(RefusalCode.BAD_FIELD, f"{text} is not a number of JSON")


def _check_characters(parsed: dict[str, Any]) -> None:
    try:
        json.dumps(parsed, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refusal(RefusalCode.BAD_FIELD, "a text holds half of a surrogate pair: send whole characters") from None


def _unreadable(text: str) -> Refusal:
    return Refusal(RefusalCode.UNREADABLE, text)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_no_constant)
