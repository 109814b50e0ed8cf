"""Moments: those between which a command looks, and how they are told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

import typer

from refrain.ops.terminal.durations import read_since_ms
from refrain.ops.terminal.options import read_option
from refrain.streams import time_of_day


class Between(NamedTuple):
    """Times (ms since the epoch): from the first on, and before the second, where there is one."""

    from_ms: int
    to_ms: int | None

    def holds(self, time_ms: int) -> bool:
        """Whether a time is between them."""
        return time_ms >= self.from_ms and (self.to_ms is None or time_ms < self.to_ms)


def between(since: str | None, to: str | None) -> Between:
    """The moments of `--from` and `--to`. Raises typer.BadParameter for what is none, or for one after the other."""
    found = Between(moment_ms(since, "--from") or 0, moment_ms(to, "--to"))
    if found.to_ms is not None and found.from_ms >= found.to_ms:
        raise typer.BadParameter(f"{since or '1970'} is not before --to, which is {to}", param_hint="--from")
    return found


def moment_ms(text: str | None, option: str, now_ms: int | None = None) -> int | None:
    """The moment of an option, None where it was not given; spans go back from `now_ms`, else from the clock.

    Raises typer.BadParameter for what is none.
    """
    back_from_ms = time_of_day.now_ms() if now_ms is None else now_ms
    return read_option(lambda given: read_since_ms(given, back_from_ms), text, option)


def utc(ms: int, form: str = "%Y-%m-%d %H:%M:%S UTC") -> str:
    """A time (ms since the epoch) in UTC; one that no calendar holds as it is."""
    try:
        return datetime.fromtimestamp(ms / 1_000, UTC).strftime(form)
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"


def local(ms: int) -> str:
    """A time (ms since the epoch) in the zone of this machine; one that no calendar holds as it is."""
    try:
        return datetime.fromtimestamp(ms / 1_000).astimezone().isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"
