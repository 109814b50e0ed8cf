"""Tracks the offsets of open forwards, and commits the oldest open one with a bitmap of what is done after it.

Calls finish in any order. The bitmap is the metadata of the committed offset: a restart calls only what was really
open. (The idea of Confluent's Parallel Consumer.)
"""

from __future__ import annotations

import base64
import binascii
import logging
import zlib
from collections.abc import Callable, Collection, Iterable

from refrain.streams.errors import Rebalanced, Unanswered
from refrain.streams.kafka.interface import Consumer, OffsetAndMetadata

logger = logging.getLogger(__name__)

METADATA_CHARS_MAX = 4_000
"""Kafka keeps at most 4,096 bytes of metadata with an offset."""
SPAN_MAX = 20_000
"""Offsets from the oldest open call to the newest; a partition that reaches it is paused. Its bitmap always fits."""
_FORM = "1:"
_BITMAP_BYTES_MAX = 8 * SPAN_MAX


class PartitionOffsets:
    """The offsets of one partition, from the one committed last."""

    def __init__(self, committed: OffsetAndMetadata) -> None:
        self._open: dict[int, None] = {}
        self._next = committed.next_offset
        self._done_ahead = decode_bitmap(committed)
        """Done before the restart, and not consumed again yet."""
        self._ahead_end = max(self._done_ahead, default=-1) + 1

    def take(self, offset: int) -> bool:
        """Open an offset that was consumed (in rising order). False when it was done before the restart.

        One below where it was to go on, with none open, is read because nothing stands there: positions set past the
        end, or a topic that was cut. It goes on from that one.
        """
        if not self._open and offset < self._next:
            self._next = offset
            self._done_ahead.clear()
        self._next = max(self._next, offset + 1)
        done = offset in self._done_ahead
        self._done_ahead.discard(offset)
        if self._next >= self._ahead_end:
            # What is left was cut from the topic meanwhile.
            self._done_ahead.clear()
        if not done:
            self._open[offset] = None
        return not done

    def done(self, offset: int) -> None:
        """Close an offset: its completion is acknowledged."""
        self._open.pop(offset, None)

    @property
    def open(self) -> list[int]:
        """The offsets still open, oldest first."""
        return list(self._open)

    @property
    def span(self) -> int:
        """The span: how far the newest consumed offset is past the oldest open one."""
        return self._next - self._oldest()

    def to_commit(self) -> OffsetAndMetadata:
        """The offset to commit, with the bitmap of what a restart may skip as its metadata."""
        oldest = self._oldest()
        ahead = {offset for offset in self._done_ahead if offset >= self._next}
        return OffsetAndMetadata(oldest, _encode_bitmap(oldest, self._next, self._open, ahead))

    def _oldest(self) -> int:
        return next(iter(self._open), self._next)


class OffsetTracker:
    """The offsets of all partitions of a consumer: which are open, and which were committed."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._partitions: dict[int, PartitionOffsets] = {}
        self._committed: dict[int, OffsetAndMetadata] = {}

    def load(self, partitions: Collection[int]) -> None:
        """Load the group's committed offsets; a partition without one begins at the first offset consumed."""
        for partition, committed in self._consumer.committed(sorted(partitions)).items():
            self._partitions[partition] = PartitionOffsets(committed)
            self._committed[partition] = committed

    def take(self, partition: int, offset: int) -> bool:
        """Open an offset that was consumed. False when it was done before a restart."""
        offsets = self._partitions.get(partition)
        if offsets is None:
            offsets = self._partitions[partition] = PartitionOffsets(OffsetAndMetadata(offset))
        return offsets.take(offset)

    def done(self, offsets: Iterable[tuple[int, int]]) -> None:
        """Close offsets (partition, offset) whose completions are acknowledged; ignores those of lost partitions."""
        for partition, offset in offsets:
            if partition in self._partitions:
                self._partitions[partition].done(offset)

    def over_span(self, span_max: Callable[[int], int]) -> set[int]:
        """The partitions whose span has reached what `span_max` says for them."""
        return {p for p, one in self._partitions.items() if one.span >= span_max(p)}

    @property
    def partitions(self) -> set[int]:
        """The partitions that are tracked."""
        return set(self._partitions)

    def commit(self, partitions: Collection[int]) -> None:
        """Commit the offsets of these partitions that have moved; in a rebalance or an outage a later call does."""
        to_commit = {p: self._partitions[p].to_commit() for p in partitions if p in self._partitions}
        moved = {p: offset for p, offset in to_commit.items() if self._committed.get(p) != offset}
        if not moved:
            return
        try:
            self._consumer.commit(moved)
        except Rebalanced as rebalance:
            logger.info("offsets are committed later: %s", rebalance)
            return
        except Unanswered as problem:
            logger.debug("offsets are committed later: %s", problem)
            return
        self._committed.update(moved)

    def forget(self, partitions: Iterable[int]) -> None:
        """Stop to track partitions that belong to another member."""
        for partition in partitions:
            self._partitions.pop(partition, None)
            self._committed.pop(partition, None)


def _encode_bitmap(base: int, end: int, still_open: Iterable[int], ahead: Collection[int]) -> str:
    """The bitmap, as text, of [base, end) without what is open, and of `ahead`; cut at its end when it does not fit."""
    span = max(end, max(ahead, default=-1) + 1) - base
    bits = bytearray(b"\xff" * ((end - base) // 8) + b"\x00" * (span // 8 + 1))
    for at in range((end - base) // 8 * 8, end - base):
        bits[at >> 3] |= 1 << (at & 7)
    for offset in still_open:
        bits[(offset - base) >> 3] &= ~(1 << ((offset - base) & 7))
    for offset in ahead:
        bits[(offset - base) >> 3] |= 1 << ((offset - base) & 7)
    kept = bytes(bits).rstrip(b"\x00")
    while kept:
        metadata = _FORM + base64.b64encode(zlib.compress(kept)).decode("ascii")
        if len(metadata) <= METADATA_CHARS_MAX:
            return metadata
        kept = kept[: len(kept) // 2].rstrip(b"\x00")
    return ""


def decode_bitmap(committed: OffsetAndMetadata) -> set[int]:
    """The offsets that the metadata of a committed offset says are done; none for metadata of others."""
    if not committed.metadata:
        return set()
    try:
        if not committed.metadata.startswith(_FORM):
            raise ValueError("unknown form")
        packed = base64.b64decode(committed.metadata.removeprefix(_FORM), validate=True)
        bits = zlib.decompressobj().decompress(packed, _BITMAP_BYTES_MAX)
    except (ValueError, binascii.Error, zlib.error):
        logger.warning("the metadata of offset %d cannot be read: calls after it may repeat", committed.next_offset)
        return set()
    base = committed.next_offset
    return {base + at for at in range(len(bits) * 8) if bits[at >> 3] >> (at & 7) & 1}
