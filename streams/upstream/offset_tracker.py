"""Which calls of a partition are still open, and the position that says so.

Calls finish in any order. The position is the oldest open offset, and its note holds, as a bitmap, what is done after
it: a restart calls only what was really open. (The idea of Confluent's Parallel Consumer.)
"""

from __future__ import annotations

import base64
import binascii
import logging
import zlib
from collections.abc import Callable, Collection, Iterable

from refrain.streams.errors import Rebalanced
from refrain.streams.kafka.interface import Consumer, OffsetAndMetadata

logger = logging.getLogger(__name__)

NOTE_CHARS_MAX = 4_000
"""Kafka keeps at most 4,096 bytes with a position."""
SPAN_MAX = 20_000
"""Offsets from the oldest open call to the newest; a partition that reaches it is paused. Its bitmap always fits."""
_FORM = "1:"
_BITMAP_BYTES_MAX = 8 * SPAN_MAX


class Offsets:
    """One partition, from the position that was kept last."""

    def __init__(self, position: OffsetAndMetadata) -> None:
        self._open: dict[int, None] = {}
        self._next = position.next_offset
        self._done_ahead = decode_note(position)
        """Done before the restart, and not read again yet."""
        self._ahead_end = max(self._done_ahead, default=-1) + 1

    def take(self, offset: int) -> bool:
        """An offset was read (each one later than those before). False when it was done before the restart."""
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
        """The call's completion is acknowledged."""
        self._open.pop(offset, None)

    @property
    def open(self) -> list[int]:
        """The offsets still open, oldest first."""
        return list(self._open)

    @property
    def span(self) -> int:
        """How far the newest offset read is past the oldest open one."""
        return self._next - self._oldest()

    def position(self) -> OffsetAndMetadata:
        """Where a restart goes on, and what it may skip."""
        oldest = self._oldest()
        ahead = {offset for offset in self._done_ahead if offset >= self._next}
        return OffsetAndMetadata(oldest, _note(oldest, self._next, self._open, ahead))

    def _oldest(self) -> int:
        return next(iter(self._open), self._next)


class OffsetTracker:
    """All partitions of a reader: which of their calls are open, and the positions that were kept."""

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._partitions: dict[int, Offsets] = {}
        self._kept: dict[int, OffsetAndMetadata] = {}

    def load(self, partitions: Collection[int]) -> None:
        """Go on where the group's positions say; a partition without one begins at the first offset read."""
        for partition, position in self._consumer.committed(sorted(partitions)).items():
            self._partitions[partition] = Offsets(position)
            self._kept[partition] = position

    def take(self, partition: int, offset: int) -> bool:
        """An offset was read. False when it was done before a restart."""
        offsets = self._partitions.get(partition)
        if offsets is None:
            offsets = self._partitions[partition] = Offsets(OffsetAndMetadata(offset))
        return offsets.take(offset)

    def done(self, places: Iterable[tuple[int, int]]) -> None:
        """What was read there is acknowledged; places of partitions that are not ours count no more."""
        for partition, offset in places:
            if partition in self._partitions:
                self._partitions[partition].done(offset)

    def wide(self, span_max: Callable[[int], int]) -> set[int]:
        """The partitions whose span has reached what `span_max` says for them."""
        return {p for p, one in self._partitions.items() if one.span >= span_max(p)}

    @property
    def partitions(self) -> set[int]:
        """The partitions of which something is known."""
        return set(self._partitions)

    def commit(self, partitions: Collection[int]) -> None:
        """Keep the positions of these partitions that have moved; after a rebalance it is left for later."""
        positions = {p: self._partitions[p].position() for p in partitions if p in self._partitions}
        moved = {p: position for p, position in positions.items() if self._kept.get(p) != position}
        if not moved:
            return
        try:
            self._consumer.commit(moved)
        except Rebalanced as rebalance:
            logger.info("positions kept for later: %s", rebalance)
            return
        self._kept.update(moved)

    def forget(self, partitions: Iterable[int]) -> None:
        """The partitions are somebody else's."""
        for partition in partitions:
            self._partitions.pop(partition, None)
            self._kept.pop(partition, None)


def _note(base: int, end: int, still_open: Iterable[int], ahead: Collection[int]) -> str:
    """[base, end) without what is open, and `ahead`; when that does not fit, the later part is left out."""
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
        if len(metadata) <= NOTE_CHARS_MAX:
            return metadata
        kept = kept[: len(kept) // 2].rstrip(b"\x00")
    return ""


def decode_note(position: OffsetAndMetadata) -> set[int]:
    """The offsets that a position's note says are done; none for a note that is not ours."""
    if not position.metadata:
        return set()
    try:
        if not position.metadata.startswith(_FORM):
            raise ValueError("unknown form")
        packed = base64.b64decode(position.metadata.removeprefix(_FORM), validate=True)
        bits = zlib.decompressobj().decompress(packed, _BITMAP_BYTES_MAX)
    except (ValueError, binascii.Error, zlib.error):
        logger.warning("the note of position %d cannot be read: calls after it may repeat", position.next_offset)
        return set()
    base = position.next_offset
    return {base + at for at in range(len(bits) * 8) if bits[at >> 3] >> (at & 7) & 1}
