"""Which fold and guards decide: the version that stands in each decision, and whether one was made by these."""

from __future__ import annotations

from refrain.streams import guards

BEHAVIOUR = f"fold-14/{guards.DIGEST}"
"""The version of fold and guards; a change that decides otherwise needs another."""


def is_of_this_version(behaviour: str) -> bool:
    """Whether this fold and these guards decided, by what a decision says; the rules of classify may be others."""
    return behaviour == BEHAVIOUR or behaviour.startswith(f"{BEHAVIOUR}/")
