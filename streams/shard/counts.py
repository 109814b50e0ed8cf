"""Counter names of the fold, for `Counters` and metrics: enums, so that a misspelt kind or reason fails."""

from __future__ import annotations

from enum import StrEnum

from refrain.streams.errors import RefusalCode
from refrain.streams.shard.admission import NotAdmitted


class Counted(StrEnum):
    """Kind of a count."""

    ADMITTED = "admitted"
    NOT_ADMITTED = "not_admitted"
    EVICTED = "evicted"
    DROPPED = "dropped"
    REFUSED = "refused"
    POLICY = "policy"
    TIMED_OUT = "timed_out"
    FORGOTTEN = "forgotten"


class Evicted(StrEnum):
    """Reason of an eviction or removal: a closed list."""

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
    """Reason why a journal record had no effect: a closed list."""

    REPEATED = "repeated"
    """It was folded before."""
    SECOND_ANSWER = "second_answer"
    LATE_OPINION = "late_opinion"
    PASSED_THROUGH = "passed_through"
    """It went straight to the model while the shard was stopped."""


Count = tuple[Counted, *tuple[str, ...]]
"""What is counted, and its labels."""


def admitted(category: str) -> Count:
    """Count an answer that was admitted to the cache."""
    return Counted.ADMITTED, category


def not_admitted(why: NotAdmitted) -> Count:
    """Count an answer that was delivered and not admitted."""
    return Counted.NOT_ADMITTED, why.value


def evicted(category: str, why: Evicted) -> Count:
    """Count an entry that was evicted or removed."""
    return Counted.EVICTED, category, why.value


def dropped(why: Dropped) -> Count:
    """Count a journal record without effect."""
    return Counted.DROPPED, why.value


def refused(code: RefusalCode) -> Count:
    """Count a record that was dead-lettered."""
    return Counted.REFUSED, code.value


def policy_set(version: int) -> Count:
    """Report the policy version that the shard folds under."""
    return Counted.POLICY, str(version)


def timed_out(category: str) -> Count:
    """Count a waiting request that reached its deadline."""
    return Counted.TIMED_OUT, category


def forgotten() -> Count:
    """Count a flight that expired without an answer."""
    return (Counted.FORGOTTEN,)
