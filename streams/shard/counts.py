"""What folding counts, for tallies and metrics: closed lists, so that a misspelt kind or reason fails."""

from __future__ import annotations

from enum import StrEnum

from refrain.streams.errors import RefusalCode
from refrain.streams.shard.admission import NotKept


class Counted(StrEnum):
    """What is counted."""

    ADMITTED = "admitted"
    NOT_ADMITTED = "not_admitted"
    EVICTED = "evicted"
    DROPPED = "dropped"
    REFUSED = "refused"
    POLICY = "policy"
    TIMED_OUT = "timed_out"
    FORGOTTEN = "forgotten"


class Evicted(StrEnum):
    """Why an entry left: a closed list."""

    REPLACED = "replaced"
    """A newer answer to the same text came."""
    CAP = "cap"
    """The cap of its tenant and category."""
    TOTAL = "total"
    """The total of the shard."""
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    JUDGED = "judged"
    """Its answer was judged wrong."""


class Dropped(StrEnum):
    """Why a record of the journal led to nothing: a closed list."""

    REPEATED = "repeated"
    """It was folded before."""
    SECOND_ANSWER = "second_answer"
    LATE_OPINION = "late_opinion"


Count = tuple[Counted, *tuple[str, ...]]
"""What is counted, and its labels."""


def admitted(category: str) -> Count:
    """An answer is kept."""
    return Counted.ADMITTED, category


def not_admitted(why: NotKept) -> Count:
    """An answer is delivered and not kept."""
    return Counted.NOT_ADMITTED, why.value


def evicted(category: str, why: Evicted) -> Count:
    """An entry left."""
    return Counted.EVICTED, category, why.value


def dropped(why: Dropped) -> Count:
    """A record led to nothing."""
    return Counted.DROPPED, why.value


def refused(code: RefusalCode) -> Count:
    """A record became a dead letter."""
    return Counted.REFUSED, code.value


def policy_set(version: int) -> Count:
    """A policy is in force in the shard."""
    return Counted.POLICY, str(version)


def timed_out(category: str) -> Count:
    """A request waited until its deadline."""
    return Counted.TIMED_OUT, category


def forgotten() -> Count:
    """An answer is not expected any more."""
    return (Counted.FORGOTTEN,)
