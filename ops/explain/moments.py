"""Reads the moments between which the questions of auditors look."""

from __future__ import annotations

from typing import NamedTuple

import typer

from refrain.ops.terminal.durations import read_moment_ms
from refrain.ops.terminal.options import read_option


class Between(NamedTuple):
    """Times (ms since the epoch): from the first on, and before the second, where there is one."""

    from_ms: int
    to_ms: int | None

    def holds(self, time_ms: int) -> bool:
        """Whether a time is between them."""
        return time_ms >= self.from_ms and (self.to_ms is None or time_ms < self.to_ms)


def between(since: str | None, to: str | None) -> Between:
    """The moments of `--from` and `--to`. Raises typer.BadParameter for what is none, or for one after the other."""
    found = Between(read_option(read_moment_ms, since, "--from") or 0, read_option(read_moment_ms, to, "--to"))
    if found.to_ms is not None and found.from_ms >= found.to_ms:
        raise typer.BadParameter(f"{since or '1970'} is not before --to, which is {to}", param_hint="--from")
    return found
