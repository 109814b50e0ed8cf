"""The pause that a server asks for with an error, in whichever header and form it says so."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

DIGITS_MAX = 9
"""A longer number is no pause that anybody means."""
PAUSE_MAX_S = 10.0**DIGITS_MAX - 1


def pause_s(headers: Mapping[str, str], now_ms: int) -> float:
    """The seconds in `retry-after-ms`, or in `retry-after` as a number or a date; 0 where nothing says so.

    A date counts from the server's own `date`, else from `now_ms`. `headers` are found in lower case.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1_000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is not None:
        return seconds
    until, now_s = _stamp_s(text), _stamp_s(headers.get("date", ""))
    if until is None:
        return 0.0
    return min(PAUSE_MAX_S, max(0.0, until - (now_ms / 1_000 if now_s is None else now_s)))


def _number(text: str) -> float | None:
    whole, point, fraction = text.strip().partition(".")
    digits = whole + fraction
    if not (digits.isascii() and digits.isdigit() and len(digits) <= DIGITS_MAX) or (point and not whole):
        return None
    return float(f"{whole}.{fraction or 0}")


def _stamp_s(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text.strip())
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
