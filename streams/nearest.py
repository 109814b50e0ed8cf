"""The known name that somebody probably meant."""

from __future__ import annotations

import difflib
from functools import lru_cache

CUTOFF = 0.5
REMEMBERED = 1_024
"""Answers that are remembered: a client may ask with the same wrong name for days."""


@lru_cache(REMEMBERED)
def nearest(value: str, known: tuple[str, ...]) -> str | None:
    """The known name nearest to a value, whatever its case; None where none is near."""
    folded = {name.lower(): name for name in sorted(set(known))}
    if value.lower() in folded:
        return folded[value.lower()]
    close = difflib.get_close_matches(value.lower(), list(folded), n=1, cutoff=CUTOFF)
    return folded[close[0]] if close else None
