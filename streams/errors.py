"""The errors that Refrain raises, each with what to do about it.

RefrainError
├── Refusal               one message cannot be taken: it goes to dead-letters or is answered with an error
├── WrongSetup            settings, topics, model or policy are not as needed: the worker does not start
│   ├── Forbidden         the cluster's ACLs do not allow it: grant what `refrain topics acls` prints
│   └── LoginRefused      the broker does not let this user in: mend the block `connection`
├── ModelUnavailable      an embeddings endpoint does not answer for now: wait, and embed the texts again
├── BadInput              what was given to a command cannot be taken: a file, or a value
│   ├── WrongValue        a value on the command line is wrong: give another
│   ├── FileUnreadable    it is not there, or not for this user to read
│   └── FileUnwritable    it cannot be made or written where the command line says
├── CommandRefused        govern did not take a command
├── ClusterFailed         the broker did not take or give what it should
│   ├── Unanswered        a broker, coordinator or controller does not answer for now: ask again
│   │   └── Unreachable   no broker answers at the address
│   ├── SendFailed        a record was not acknowledged
│   │   ├── DeliveryExpired   records were not written in time, and will not be: they are made again
│   │   └── RecordsRefused    the broker takes some records never: something smaller is sent in their place
│   ├── Aborted           a transaction was aborted, or a commit not made: keep the uncommitted changes, try again
│   │   └── Rebalanced    it met a rebalance: try again after it
│   ├── Fenced            another worker owns what this one held
│   └── OffsetLost        the record to go on from is not in the topic any more: the shard stops alone
├── ChangeTooLarge        `documents` does not take a change of a shard: the record is decided without it
├── ShardBroken           a decided change could not be applied: the worker stops and restores the shard
├── StoreDamaged          a local store cannot be read: it is deleted and restored
│   └── RowDamaged        a row that the store read well is no record of its column
├── StoreUnusable         the disk does not take a local store: full, read-only, or not this user's
├── SnapshotUnusable      a snapshot cannot be read or written, or is of something else: the one before it is taken
├── ChangelogDamaged      a record of `documents` cannot be read: the shard stops alone
│   └── ChangelogLost     `documents` was deleted and made anew, and has not all of a shard: it stops alone
└── JournalUnreadable     a journal record of an unknown version: its shard stops alone until an upgrade
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Literal, NamedTuple

DISTRIBUTION = "refrain-cache"
"""The name under which Refrain is installed; that of the command, `refrain`, is another's among Python packages."""
Extra = Literal["light", "embed", "weights", "plot", "learn", "testing", "traces"]
"""What is installed only where it is asked for."""


def install_hint(extra: Extra) -> str:
    """The command that installs an extra, for errors that miss what is in it."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


class RefrainError(Exception):
    """Base of all errors that Refrain raises itself. The message says what to do."""


class RefusalCode(StrEnum):
    """Why a message was refused: the closed list behind `refrain.dead.reason` and error responses."""

    UNREADABLE = "unreadable"
    """Not the JSON message that the topic carries."""
    UNKNOWN_VERSION = "unknown_version"
    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    """JSON nested deeper than is taken."""
    BAD_FIELD = "bad_field"
    EMPTY_QUESTION = "empty_question"
    QUESTION_TOO_LONG = "question_too_long"
    BAD_REPLY_TO = "bad_reply_to"
    NOT_ASKED = "not_asked"
    """An answer to a question that nobody asked."""
    ROUTE_UNSIGNED = "route_unsigned"
    """A completion whose route has no signature."""
    ROUTE_FORGED = "route_forged"
    """A completion whose route is signed with a key that is not known, or wrongly."""
    TENANT_NOT_YOURS = "tenant_not_yours"
    """A request for a tenant that is not the one it is bound to."""
    ANSWER_TOO_LARGE = "answer_too_large"
    NOT_SENT = "not_sent"
    """A topic does not take the record that was to go there: it is missing, closed, or its settings leave it out."""
    WITHHELD = "answer_withheld"
    """The category may not be kept any more, so an answer that several wait for reaches one of them only."""
    UNKNOWN_DECISION = "unknown_decision"
    """A judgement of a decision that is not recorded."""
    NOTHING_TO_JUDGE = "nothing_to_judge"
    """A judgement of a decision that gave no answer which is kept."""
    STALE_COMMAND = "stale_command"
    """A command for a policy that is not in force any more."""
    FOLD_FAILED = "fold_failed"
    QUARANTINED = "quarantined"
    """The record has ended its worker twice."""
    SHARD_RECOVERED = "shard_recovered"
    """An answer that was waited for may have been in a part of the journal that is gone."""
    DEADLINE = "deadline_exceeded"
    UPSTREAM = "upstream_failed"
    NOT_CACHED = "not_cached"
    INTERNAL = "internal"
    """An error that nobody foresaw: a defect of Refrain, which cost this message alone."""


class Refusal(RefrainError):
    """One message cannot be taken. `code` is for programs, the text for people."""

    def __init__(self, code: RefusalCode, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text

    def __str__(self) -> str:
        return f"{self.code.value}: {self.text}"


class WrongSetup(RefrainError):
    """Settings, topics, model or policy are not as needed: mend what the text names and start again."""


class Forbidden(WrongSetup):
    """The cluster's ACLs do not allow it to this user: grant what `refrain topics acls` prints for its role."""


class LoginRefused(WrongSetup):
    """The broker does not let this user in, and never did: mend `sasl.*` in the block `connection`."""


class ModelUnavailable(RefrainError):
    """An embeddings endpoint does not answer for now: nothing is wrong with the texts; wait, and embed them again."""


class BadInput(RefrainError):
    """A file that was given to a command cannot be taken: mend the lines that the text names."""


class WrongValue(BadInput):
    """A value on the command line is none that can be taken, whatever a file holds: give another."""

    def __init__(self, text: str, option: str | None = None) -> None:
        """`option` is the one that has the value, where that is known."""
        super().__init__(text)
        self.option = option


class FileUnreadable(BadInput):
    """A file that a command line names is not there, or cannot be read: name another one."""


class FileUnwritable(BadInput):
    """A file that a command line names cannot be made or written: name another place."""


class CommandRefused(RefrainError):
    """govern did not take a command: the text says why; look at what is in force and give it again."""


class ClusterFailed(RefrainError):
    """The broker did not take or give what it should: check that it is reachable, and start again."""


class Unanswered(ClusterFailed):
    """A broker, coordinator or controller does not answer for now: nothing is wrong with what was asked; ask again."""


class Unreachable(Unanswered):
    """No broker answers: start one, or name another with REFRAIN_KAFKA."""


class SendFailed(ClusterFailed):
    """A record was not acknowledged: nothing after it counts; the worker stops and its work is done again."""


class DeliveryExpired(SendFailed):
    """Records were not written in time and are dropped: their batch is processed again, by the policy now."""


class Aborted(ClusterFailed):
    """A transaction was aborted or a commit not made, by an outage: what was to be committed is committed later."""


class RefusedRecord(NamedTuple):
    """Why the broker does not take one record: for people in `text`."""

    text: str
    too_large: bool = False
    together: bool = False
    """Whether it may be the fault of those that were sent together with it."""
    gone: bool = False
    """Whether its topic is not there."""


class RecordsRefused(SendFailed):
    """The broker never takes some records of a call, for what they are or where they go: send others in their place.

    `refused` has them by their place in the call. A producer has written all others; of a transaction nothing is
    written.
    """

    def __init__(self, refused: Mapping[int, RefusedRecord]) -> None:
        super().__init__(next(iter(refused.values())).text)
        self.refused = refused


class Rebalanced(Aborted):
    """A commit met a rebalance: it was aborted, and is retried after the rebalance."""


class Fenced(ClusterFailed):
    """Another worker owns what this one held (it was paused or cut off): start this one again."""


class OffsetLost(ClusterFailed):
    """The record to go on from is gone from the topic: see `refrain shards list`, and raise its retention."""

    def __init__(self, text: str, partition: int | None = None) -> None:
        """`partition` is the one that was cut, where the client tells it."""
        super().__init__(text)
        self.partition = partition


class ChangeTooLarge(RefrainError):
    """A change of a shard is larger than `documents` takes: nothing has changed, and nothing of it is kept."""


class ShardBroken(RefrainError):
    """A decided change could not be applied, so memory is not what was decided: stop, and restore the shard."""


class RestoreAbandoned(RefrainError):
    """A restore ends before it is done: another worker has the partition now."""


class StoreDamaged(RefrainError):
    """A local store cannot be read: it is deleted and restored from `documents`."""


class RowDamaged(StoreDamaged):
    """A row that the store read well is no record of its column. The text names the column, never what is in it."""

    def __init__(self, text: str, key: bytes) -> None:
        super().__init__(text)
        self.key = key


class StoreUnusable(RefrainError):
    """The disk does not take a local store: make room, or make `state_dir` writable; it is tried again by itself."""


class SnapshotUnusable(RefrainError):
    """A snapshot cannot be read or written, or is not what it says: the one before it is taken, else `documents`."""


class ChangelogDamaged(RefrainError):
    """A record of `documents` cannot be read: `refrain shards recover PARTITION --empty` begins anew without it.

    A batch that no client can read stays there: once the shard has committed again, delete the records up to it.
    """

    def __init__(self, text: str, offset: int) -> None:
        """`offset` is the record's in `documents`."""
        super().__init__(text)
        self.offset = offset


class ChangelogLost(ChangelogDamaged):
    """`documents` has not what a shard kept: `refrain shards recover PARTITION --empty` begins anew without it."""

    def __init__(self, text: str) -> None:
        super().__init__(text, 0)


class JournalUnreadable(RefrainError):
    """A journal record of an unknown version: upgrade this worker; the shard waits for it."""
