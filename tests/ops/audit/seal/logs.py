"""A log of records that no two are alike, its seal, and copies with one record other."""

from __future__ import annotations

from collections.abc import Iterable

from refrain.ops.audit.seal.against import LogProof, prove
from refrain.ops.audit.seal.alignment import Difference
from refrain.ops.audit.seal.model import SealedLog
from refrain.ops.audit.seal.sealing import LogSealing
from refrain.streams.kafka.interface import Record

STEP = 8
TOPIC, PARTITION = "journal", 3


def log(count: int = 50, *, gap_every: int = 0) -> list[Record]:
    """Records of a partition; with `gap_every` an offset is left out behind so many, as by transactions."""
    return [
        Record(
            TOPIC,
            PARTITION,
            number + (number // gap_every if gap_every else 0),
            1_000 + number,
            b"key-%d" % number,
            b"value %d" % number,
            (("trace", b"%d" % number), ("empty", None)),
        )
        for number in range(count)
    ]


def seal(records: Iterable[Record], step: int = STEP, topic: str = TOPIC, partition: int = PARTITION) -> SealedLog:
    """The seal of the records."""
    sealing = LogSealing(topic, partition, step)
    assert list(sealing.watch(records)) == list(records)
    return sealing.finish()


def proof(sealed: Iterable[Record], live: Iterable[Record], begins: int = 0) -> LogProof:
    """What the seal of the one proves of the other."""
    return prove(seal(list(sealed)), begins, list(live))


def renumbered(records: Iterable[Record], first: int = 0) -> list[Record]:
    """The records at offsets without a gap, as when they are written again."""
    return [record._replace(offset=first + number) for number, record in enumerate(records)]


def said(found: Iterable[Difference]) -> list[tuple[str, int, int, int | None]]:
    """Kind, offsets and new place of each difference."""
    return [(each.change.value, each.first, each.last, each.to) for each in found]
