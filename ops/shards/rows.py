"""The shards as `refrain shards list` shows them, and what a recovery of one loses. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from refrain.ops.terminal.output import counted
from refrain.schemas.base import RecoveryWay
from refrain.schemas.stats import ShardStats, Stopped, StopReason
from refrain.streams.errors import BadInput


class ShardRow(NamedTuple):
    """One shard; offsets are of its journal partition, None where they are not known."""

    partition: int
    owner: str | None
    """The worker that has it: client and host."""
    position: int | None
    """What is folded next, as of the last commit."""
    first: int
    end: int
    stopped: Stopped | None

    def to_json(self) -> dict[str, Any]:
        """For JSON."""
        told = None if self.stopped is None else self.stopped.model_dump(mode="json")
        return {
            "partition": self.partition,
            "owner": self.owner,
            "position": self.position,
            "journal_start": self.first,
            "journal_end": self.end,
            "stopped": told,
            "remedy": None if self.stopped is None else remedy_of(self.partition, self.stopped),
        }


def shard_rows(
    ends: Mapping[int, tuple[int, int]],
    positions: Mapping[int, int],
    owners: Mapping[int, str],
    reports: Mapping[int, ShardStats],
) -> list[ShardRow]:
    """A row for each partition of the journal."""
    return [
        ShardRow(
            partition,
            owners.get(partition),
            positions.get(partition),
            first,
            end,
            reports[partition].stopped if partition in reports else None,
        )
        for partition, (first, end) in sorted(ends.items())
    ]


def remedy_of(partition: int, stopped: Stopped) -> str:
    """What mends a stopped shard."""
    from refrain.streams.lookup.remedies import remedy

    return remedy(partition, stopped.reason)


def check_recovery(row: ShardRow, how: RecoveryWay) -> Stopped:
    """Why the shard is stopped. Raises BadInput where it is not, or this way does not let it go on."""
    if row.stopped is None:
        raise BadInput(f"shard {row.partition} is not stopped: `refrain shards list` shows which are")
    if row.stopped.reason is StopReason.UNKNOWN_VERSION:
        raise BadInput(
            f"shard {row.partition} waits for a worker that knows the version of the record at offset"
            f" {row.stopped.offset}: upgrade its worker"
        )
    if how is RecoveryWay.WATERMARK and row.first <= row.stopped.position:
        raise BadInput(
            f"the journal of shard {row.partition} begins at {row.first} and has what is to be folded next"
            f" ({row.stopped.position}): nothing of it is gone"
        )
    if how is RecoveryWay.DOCUMENTS and row.first > row.stopped.position:
        raise BadInput(
            f"the journal of shard {row.partition} begins at {row.first}, behind what is to be folded next"
            f" ({row.stopped.position}): no restore brings that back; see --from-watermark"
        )
    return row.stopped


def losses(row: ShardRow, how: RecoveryWay) -> str:
    """What is lost when the shard recovers so, in words."""
    if row.stopped is None or how is RecoveryWay.DOCUMENTS:
        return "nothing is lost: the local store is deleted and filled from documents, which takes a while"
    gone = max(0, row.first - row.stopped.position)
    hole = f"{counted(gone, 'offset')} of the journal that nobody folded ({row.stopped.position} to {row.first - 1})"
    if how is RecoveryWay.WATERMARK:
        return (
            f"lost: {hole}, and the answers, policies and withdrawals in them; who waits for an answer that may have"
            " been there gets an error. What is kept stays: apply the policy again, and give withdrawals again"
        )
    return (
        "lost: all that this shard keeps, entries, judgements and tallies; who waits in it is not told"
        f"{', and ' + hole if gone else ''}. Its policy is that of the journal, if it still is in there: apply it again"
    )
