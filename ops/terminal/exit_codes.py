"""Exit codes that scripts and supervisors can use, and which error ends with which."""

from __future__ import annotations

from refrain.streams.errors import (
    ClusterFailed,
    FileUnreadable,
    FileUnwritable,
    JournalUnreadable,
    ModelUnavailable,
    RefrainError,
    ShardBroken,
    StoreDamaged,
    Unreachable,
    WrongSetup,
    WrongValue,
)

OK = 0
FAILED = 1
"""The answer is no: a check failed, a question got no answer, a command was refused."""
USAGE = 2
UNAVAILABLE = 69
"""No broker answers (EX_UNAVAILABLE)."""
TRY_AGAIN = 75
"""The broker, an embeddings endpoint or another worker got in the way: start it again (EX_TEMPFAIL)."""
WRONG_SETUP = 78
"""Settings, topics, model or policy are not as needed: starting again does not help (EX_CONFIG)."""

WRONG_USAGE = (FileUnreadable, FileUnwritable, WrongValue)
"""Errors whose cause is the command line itself."""

TABLE: tuple[tuple[int, str], ...] = (
    (OK, "done"),
    (FAILED, "the answer is no: a check failed, a question got no answer, a command was refused"),
    (USAGE, "the command line is wrong, or names a file that cannot be read or written"),
    (UNAVAILABLE, "no broker answers"),
    (TRY_AGAIN, "the broker, an embeddings endpoint or another worker got in the way: try again"),
    (WRONG_SETUP, "settings, topics, model or policy are not as needed"),
)


def code_of(error: RefrainError) -> int:
    """The exit code that an error ends with."""
    if isinstance(error, WRONG_USAGE):
        return USAGE
    if isinstance(error, WrongSetup | JournalUnreadable):
        return WRONG_SETUP
    if isinstance(error, Unreachable):
        return UNAVAILABLE
    if isinstance(error, ClusterFailed | ModelUnavailable | StoreDamaged | ShardBroken):
        return TRY_AGAIN
    return FAILED
