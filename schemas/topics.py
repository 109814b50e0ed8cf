"""The one table of topics: what each carries, how it is kept, who writes and who reads it.

What processors check when they start, what doctor looks at and the ACLs of `refrain topics acls` come from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
YEAR_MS = 365 * DAY_MS
SHARDS = 32
"""Partitions of each topic of `SHARDED`: the number of shards of a cluster, fixed at creation."""
SHARDED = ("journal", "documents", "decisions")
"""Topics with a partition a shard, of the same number in each: the count of the first is that of all."""
MESSAGE_BYTES_MAX = 1_048_576
RECORD_BYTES_MAX = 2 * MESSAGE_BYTES_MAX
"""`journal` and `documents` wrap what clients and models wrote, and need room for it."""
JOURNAL_BYTES_MAX = DOCUMENT_BYTES_MAX = 2_000_000
"""The largest value that Refrain writes to `journal`, and to `documents`: what is larger is not asked, or not kept."""
CONSUMING = ("classify", "lookup", "populate", "upstream", "govern", "adapt", "compare", "verify")
"""Processors whose workers share out the partitions of a topic."""
PROCESSORS = (*CONSUMING, "edge")
CLIENTS, CONNECTORS, OPERATORS, AUDITORS = "clients", "connectors", "operators", "auditors"
FITTING = ("classify", "lookup", "populate", "upstream", "compare", "verify")
"""Processors that hold what they send against the settings of its topic, and so read those of topics they write to."""
OUTSIDE = (CLIENTS, CONNECTORS, OPERATORS, AUDITORS)
"""No processors: those who ask, people's own `upstream`, those who run `refrain` commands, those who look back."""
ROLES = (*PROCESSORS, *OUTSIDE)


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `retention_ms` of None keeps by compaction alone; `partitions` is the default count.

    `writers`, `readers` and `describers` are names of `ROLES`.
    """

    name: str
    key: str
    message: str
    partitions: int
    cleanup: Literal["delete", "compact"]
    retention_ms: int | None
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    group: str | None = None
    """The processor whose consumer group shares out its partitions; every other reader reads all that it needs."""
    describers: tuple[str, ...] = ()
    """Who neither writes nor reads it, and looks at its partitions."""
    config_readers: tuple[str, ...] = ()
    """Who reads its settings on the broker, beside the writers that are `FITTING`."""
    posted_by: tuple[str, ...] = ()
    """Writers that do not look at its settings, because nobody relies on what they write to it."""
    max_bytes: int = MESSAGE_BYTES_MAX
    append_time: bool = False
    """Stamped by the broker, so that no client's clock counts."""
    tombstones_ms: int | None = None
    """How long a compacted topic keeps deletions (`delete.retention.ms`)."""

    def shows_config_to(self, role: str) -> bool:
        """Whether the role reads the topic's settings on the broker."""
        return role in self.config_readers or (role in FITTING and role in self.writers and role not in self.posted_by)

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
          ("clients", "edge", "operators"), ("classify", "operators"), "classify", append_time=True),
    Topic("responses", "the request's", "Response", 8, "delete", DAY_MS,
          ("classify", "lookup", "populate"), ("clients", "edge", "operators"), max_bytes=RECORD_BYTES_MAX),
    Topic("journal", "tenant/category/slice", "journal.Event", SHARDS, "delete", YEAR_MS,
          ("classify", "populate", "govern", "verify", "lookup"), ("lookup", "classify", "operators"), "lookup",
          max_bytes=RECORD_BYTES_MAX, append_time=True),
    Topic("documents", "COLUMN/ID", "documents.*", SHARDS, "compact", None,
          ("lookup",), ("lookup", "operators"), describers=("classify",), config_readers=("lookup",),
          max_bytes=RECORD_BYTES_MAX, tombstones_ms=DAY_MS),
    Topic("decisions", "decision id", "Decision", SHARDS, "delete", YEAR_MS,
          ("lookup",), ("govern", "operators", "auditors"), describers=("classify",)),
    Topic("forwards", "forward id", "Forward", 8, "delete", DAY_MS,
          ("classify", "lookup"), ("upstream", "connectors", "operators"), "upstream", max_bytes=RECORD_BYTES_MAX),
    Topic("completions", "forward id", "Completion", 8, "delete", DAY_MS,
          ("upstream", "connectors"), ("populate", "upstream", "operators"), "populate", max_bytes=RECORD_BYTES_MAX),
    Topic("progress", "none", "Progress", 8, "delete", HOUR_MS,
          ("classify", "lookup", "upstream"), ("clients", "edge", "operators"), posted_by=("upstream",)),
    Topic("load", "model", "LoadSample", 1, "delete", DAY_MS,
          ("upstream", "connectors"), ("adapt", "operators"), "adapt"),
    Topic("control", "none", "control.Command", 1, "delete", YEAR_MS,
          ("operators", "adapt"), ("govern", "operators"), "govern", append_time=True),
    Topic("policies", "policy", "PolicyInForce", 1, "compact", None,
          ("govern",), ("classify", "populate", "govern", "adapt", "operators"), tombstones_ms=DAY_MS),
    Topic("acknowledgements", "processor/worker", "Acknowledgement", 1, "delete", DAY_MS,
          ("classify", "populate", "lookup"), ("operators",)),
    Topic("stats", "shard", "ShardStats", 1, "compact", None, ("lookup",), ("operators",), tombstones_ms=DAY_MS),
    Topic("doubts", "decision id", "DoubtRaised", 8, "delete", DAY_MS,
          ("lookup",), ("verify", "operators"), "verify", max_bytes=RECORD_BYTES_MAX),
    Topic("observations", "decision id", "Observation", 8, "delete", DAY_MS,
          ("lookup",), ("compare", "operators"), "compare", max_bytes=RECORD_BYTES_MAX),
    Topic("comparisons", "decision id", "Comparison", 8, "delete", YEAR_MS,
          ("compare",), ("operators", "auditors")),
    Topic("dead-letters", "the original's", "the original's bytes", 1, "delete", 30 * DAY_MS,
          CONSUMING, ("operators",), max_bytes=RECORD_BYTES_MAX),
)  # fmt: skip

BY_NAME = {topic.name: topic for topic in TOPICS}
GROUPS = {topic.group: topic.name for topic in TOPICS if topic.group is not None}
"""The topic that each processor's consumer group shares out."""


def reads(role: str) -> tuple[str, ...]:
    """The topics whose records a role reads, in the order of the table."""
    return tuple(topic.name for topic in TOPICS if role in topic.readers)


def writes(role: str) -> tuple[str, ...]:
    """The topics that a role writes to, in the order of the table."""
    return tuple(topic.name for topic in TOPICS if role in topic.writers)


def needs(role: str) -> tuple[str, ...]:
    """The topics that a role cannot do without, in the order of the table: read, written, or described."""
    return tuple(topic.name for topic in TOPICS if role in (*topic.readers, *topic.writers, *topic.describers))
