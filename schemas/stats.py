"""`stats`: statistics reports of the shards, for `refrain stats`. The key is the shard's number."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from refrain.schemas.base import Message, Millis, Part
from refrain.schemas.documents import Tally


class CategoryNow(Part):
    """One category of one shard. Threshold and lifetime are those under the highest load of any model."""

    tally: Tally
    entries: int
    """Entries that it holds."""
    room: int
    """Entries that its tenants may hold here, all caps together."""
    threshold: float | None = None
    base_threshold: float | None = None
    ttl_ms: int | None = None
    base_ttl_ms: int | None = None
    relaxation: float = 1.0
    """How far load may move it: 1 fully, less when judged false hits pass the category's bound."""
    off: bool = False


class ShardStats(Message):
    """One shard, as of `time_ms`, the shard's time."""

    partition: int
    time_ms: Millis
    policy_version: int | None
    control: int
    """The highest command folded, -1 before the first."""
    entries: int
    waiting: int
    withdrawing: int
    """Withdrawals whose entries have not all left yet; none of them is served."""
    loads: Annotated[dict[str, float], Field(default_factory=dict)]
    """Load of each model in force now."""
    categories: dict[str, CategoryNow]
