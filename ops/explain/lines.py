"""Texts for people: times, similarities, and words of users without what could move a terminal's cursor."""

from __future__ import annotations

from datetime import UTC, datetime

from refrain.ops.terminal.output import counted, safe

QUOTED_MAX = 80


def quoted(text: str) -> str:
    """A user's text on one line, short, between backticks."""
    return f"`{safe(' '.join(text.split()), QUOTED_MAX)}`"


def moment(ms: int) -> str:
    """A time (ms since the epoch) in UTC, to the second; one that no calendar holds as it is."""
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def digits(value: float | None) -> str:
    """A similarity to six places without what is 0 at its end, two places at least; a dash for none."""
    if value is None:
        return "-"
    text = f"{value:.6f}".rstrip("0")
    return text + "0" * max(0, 2 - len(text.partition(".")[2]))


def against(value: float | None, threshold: float | None) -> str:
    """A similarity against a threshold, to as few places as tell which is the greater."""
    if value is None or threshold is None:
        return f"{digits(value)} against {digits(threshold)}"
    for places in (2, 4):
        short = round(value, places), round(threshold, places)
        if (short[0] >= short[1]) == (value >= threshold):
            return f"{short[0]:.{places}f} against {short[1]:.{places}f}"
    return f"{digits(value)} against {digits(threshold)}"


def ago(ms: int) -> str:
    """A duration (ms) in words: 12 seconds, 5 minutes, 3 hours, 2 days."""
    for unit_ms, unit in ((86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute"), (1_000, "second")):
        if ms >= unit_ms:
            return counted(ms // unit_ms, unit)
    return counted(ms, "millisecond")
