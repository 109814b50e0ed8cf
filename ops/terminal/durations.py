"""Parses durations and timestamps of the command line."""

from __future__ import annotations

import re
from datetime import datetime

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|min|m|h|d|w)", re.ASCII)
_AGO = re.compile(r"\s+ago$")


def read_span_ms(text: str) -> int:
    """Milliseconds, above 0, of a text such as `30s`, `10m`, `2h`, `7d`. Raises ValueError saying what is taken."""
    found = _SPAN.fullmatch(text.strip().lower())
    ms = 0 if found is None else round(float(found[1]) * UNITS_MS[found[2]])
    if ms < 1:
        raise ValueError(f"{text!r} is no span of time: write 30s, 10m, 2h or 7d")
    return ms


def read_moment_ms(text: str) -> int:
    """Milliseconds since the epoch of an ISO 8601 moment; one without a zone is local. Raises ValueError."""
    try:
        moment = datetime.fromisoformat(text.strip())
        ms = round(moment.timestamp() * 1_000)
    except (ValueError, OverflowError, OSError) as wrong:
        raise ValueError(f"{text!r} is no moment: write 2026-03-01T12:00 or 2026-03-01T12:00:00+01:00") from wrong
    if ms < 0:
        raise ValueError(f"{text!r} lies before 1970")
    return ms


def read_since_ms(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch of an ISO 8601 moment, or of a span back from now (`2h`, `2h ago`).

    Raises ValueError.
    """
    back = _AGO.sub("", text.strip().lower())
    if _SPAN.fullmatch(back):
        return max(0, now_ms - read_span_ms(back))
    try:
        return read_moment_ms(text)
    except ValueError as wrong:
        raise ValueError(f"{wrong}, or a span back: 30s, 10m, 2h, 7d") from wrong
