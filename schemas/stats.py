"""`stats`: statistics reports of the shards, for `refrain stats`. The key is the shard's number."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from refrain.schemas.base import Message, Millis, Part
from refrain.schemas.documents import Tally


class CategoryNow(Part):
    """One category of one shard. Threshold and lifetime are those under the highest load of any model."""

    tally: Tally
    """What came of its requests."""
    entries: int
    """Entries that it holds."""
    room: int
    """Entries that its tenants may hold here, all caps together."""
    threshold: float | None = None
    """The threshold now."""
    base_threshold: float | None = None
    ttl_ms: int | None = None
    """The lifetime now."""
    base_ttl_ms: int | None = None
    relaxation: float = 1.0
    """How far load may move it: 1 fully, less when judged false hits pass the category's bound."""
    off: bool = False
    """Whether an operator switched it off."""


class StopReason(StrEnum):
    """Why a shard is stopped: a closed list."""

    JOURNAL_CUT = "journal_cut"
    """The journal begins behind the record to fold next."""
    UNKNOWN_VERSION = "unknown_version"
    """A journal record of a version that this worker does not know: upgrade it."""
    STORE_DAMAGED = "store_damaged"
    """The local store was restored several times, and cannot be read again."""
    STORE_UNUSABLE = "store_unusable"
    """The disk does not take the local store; tried again by itself."""
    DOCUMENTS_DAMAGED = "documents_damaged"
    """A record of `documents` cannot be read."""
    DOCUMENTS_LOST = "documents_lost"
    """`documents` was deleted and made anew, and has not all of what the shard kept."""
    STATE_BROKEN = "state_broken"
    """What was decided could not be applied, several times at the same record."""


class Stopped(Part):
    """A shard that cannot go on; those beside it do."""

    reason: StopReason
    """Why."""
    position: int
    """The journal offset to fold next."""
    offset: int
    """Where the trouble is: in `documents` for `documents_damaged` (-1: not known), else in `journal`."""
    since_ms: Millis
    """Since when."""
    passed_to: int | None = None
    """Questions before this journal offset went straight to the model meanwhile."""


class ShardStats(Message):
    """One shard, as of `time_ms`, the shard's time."""

    partition: int
    time_ms: Millis
    policy_version: int | None
    control: int
    """The highest command folded, -1 before the first."""
    entries: int
    """Entries that it holds."""
    waiting: int
    """Requests that wait for a model."""
    withdrawing: int
    """Withdrawals whose entries have not all left yet; none of them is served."""
    loads: Annotated[dict[str, float], Field(default_factory=dict)]
    """Load of each model in force now."""
    categories: dict[str, CategoryNow]
    """What each category has done and holds."""
    stopped: Stopped | None = None
    """Why the shard does not go on, None while it does."""
