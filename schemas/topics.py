"""The one table of topics: what each carries, how it is kept, who writes and who reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS
SHARDS = 32
"""Partitions of `journal` and of `documents`: the number of shards of a cluster, fixed at creation."""
MESSAGE_BYTES_MAX = 1_048_576
RECORD_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
"""`journal` and `documents` wrap what clients and models wrote, and need room for it."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention_ms` of None keeps by compaction alone; `partitions` is the default count."""

    name: str
    key: str
    message: str
    partitions: int
    cleanup: Literal["delete", "compact"]
    retention_ms: int | None
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    max_bytes: int = MESSAGE_BYTES_MAX
    append_time: bool = False
    """Stamped by the broker, so that no client's clock counts."""
    tombstones_ms: int | None = None
    """How long a compacted topic keeps deletions (`delete.retention.ms`)."""

    def config(self) -> dict[str, str]:
        """The topic's settings as the broker names them, without replication."""
        settings = {
            "cleanup.policy": self.cleanup,
            "max.message.bytes": str(self.max_bytes),
            "message.timestamp.type": "LogAppendTime" if self.append_time else "CreateTime",
        }
        if self.retention_ms is not None:
            settings["retention.ms"] = str(self.retention_ms)
        if self.tombstones_ms is not None:
            settings["delete.retention.ms"] = str(self.tombstones_ms)
        return settings


TOPICS: tuple[Topic, ...] = (
    Topic("requests", "any (the client's)", "Request", 8, "delete", DAY_MS,
          ("clients",), ("classify",), append_time=True),
    Topic("responses", "the request's", "Response", 8, "delete", DAY_MS,
          ("classify", "lookup", "populate"), ("clients",), max_bytes=RECORD_BYTES_MAX),
    Topic("journal", "tenant/category/slice", "journal.Event", SHARDS, "delete", YEAR_MS,
          ("classify", "populate", "govern", "verify", "lookup"), ("lookup",),
          max_bytes=RECORD_BYTES_MAX, append_time=True),
    Topic("documents", "COLUMN/ID", "documents.*", SHARDS, "compact", None,
          ("lookup",), ("lookup",), max_bytes=RECORD_BYTES_MAX, tombstones_ms=DAY_MS),
    Topic("decisions", "decision id", "Decision", 8, "delete", YEAR_MS, ("lookup",), ("auditors",)),
    Topic("forwards", "forward id", "Forward", 8, "delete", DAY_MS,
          ("classify", "lookup"), ("upstream",), max_bytes=RECORD_BYTES_MAX),
    Topic("completions", "forward id", "Completion", 8, "delete", DAY_MS,
          ("upstream",), ("populate",), max_bytes=RECORD_BYTES_MAX),
    Topic("load", "model", "LoadSample", 1, "delete", DAY_MS, ("upstream",), ("adapt",)),
    Topic("control", "none", "control.Command", 1, "delete", YEAR_MS,
          ("operators", "adapt"), ("govern",), append_time=True),
    Topic("policies", "policy", "PolicyInForce", 1, "compact", None,
          ("govern",), ("classify", "populate", "adapt", "operators"), tombstones_ms=DAY_MS),
    Topic("acknowledgements", "processor/worker", "Acknowledgement", 1, "delete", DAY_MS,
          ("classify", "populate", "lookup"), ("operators",)),
    Topic("stats", "shard", "ShardStats", 1, "compact", None, ("lookup",), ("operators",), tombstones_ms=DAY_MS),
    Topic("doubts", "decision id", "DoubtRaised", 8, "delete", DAY_MS,
          ("lookup",), ("verify",), max_bytes=RECORD_BYTES_MAX),
    Topic("observations", "decision id", "Observation", 8, "delete", DAY_MS,
          ("lookup",), ("compare",), max_bytes=RECORD_BYTES_MAX),
    Topic("comparisons", "decision id", "Comparison", 8, "delete", YEAR_MS, ("compare",), ("auditors",)),
    Topic("dead-letters", "the original's", "the original's bytes", 1, "delete", 30 * DAY_MS,
          ("classify", "lookup", "populate", "upstream", "govern", "compare", "verify"), ("operators",),
          max_bytes=RECORD_BYTES_MAX),
)  # fmt: skip

BY_NAME = {topic.name: topic for topic in TOPICS}
