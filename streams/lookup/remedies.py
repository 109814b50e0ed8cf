"""What mends a stopped shard, by why it is stopped: for the log, `refrain shards list` and `refrain doctor`."""

from __future__ import annotations

from refrain.schemas.stats import StopReason

REMEDIES: dict[StopReason, str] = {
    StopReason.JOURNAL_CUT: "refrain shards recover {} --from-watermark",
    StopReason.UNKNOWN_VERSION: "upgrade this worker",
    StopReason.STORE_DAMAGED: "look at the disk, then refrain shards recover {} --from-documents",
    StopReason.STORE_UNUSABLE: "make room on the disk of state_dir, and let this user write there",
    StopReason.DOCUMENTS_DAMAGED: "refrain shards recover {} --empty",
    StopReason.DOCUMENTS_LOST: "refrain shards recover {} --empty",
    StopReason.STATE_BROKEN: "refrain shards recover {} --from-documents, and if that does not help --empty",
}
"""What mends a shard, by why it is stopped."""


def remedy(partition: int, reason: StopReason) -> str:
    """What mends a stopped shard: a command, or what to do."""
    return REMEDIES[reason].format(partition)
