"""Spans of time on a clock that may be set back: what is due stays due, and nothing waits until the clock is back."""

from __future__ import annotations


def is_due(due_ms: int, now_ms: int, span_ms: int) -> bool:
    """Whether a moment that was set `span_ms` ahead has come, or the clock was set back since."""
    return now_ms >= due_ms or due_ms - now_ms > span_ms


def has_passed(since_ms: int, span_ms: int, now_ms: int) -> bool:
    """Whether so long a span has passed since a moment, or the clock was set back since."""
    return is_due(since_ms + span_ms, now_ms, span_ms)
