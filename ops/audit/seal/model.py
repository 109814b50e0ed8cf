"""Seal: what a seal file holds, and its canonical JSON."""

from __future__ import annotations

import base64
import binascii
import json
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from refrain.ops.audit.seal.chain import DIGEST_BYTES, PRINT_BYTES, Place
from refrain.schemas.base import Natural, Strict

Hex = Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * DIGEST_BYTES}}}$")]
Run = tuple[Natural, Annotated[int, Field(ge=1, lt=2**32)]]
"""Offsets without a gap: the first, and how many."""


TOPICS = ("journal", "control", "decisions")
"""The topics that are sealed: what the others hold follows from them."""


class Rung(Strict):
    """A step of a log's ladder: records, and the chain's link after the last of them."""

    offsets: tuple[Run, ...] = Field(min_length=1)
    """The records' offsets, ascending. Transactions leave gaps."""
    prints: str
    """The records' prints one after another, in base64."""
    digest: Hex

    @property
    def places(self) -> list[Place]:
        """The records of this step in order."""
        data = base64.b64decode(self.prints)
        cut = (data[at : at + PRINT_BYTES] for at in range(0, len(data), PRINT_BYTES))
        numbers = (number for first, count in self.offsets for number in range(first, first + count))
        return [Place(number, each) for number, each in zip(numbers, cut, strict=True)]

    @property
    def first(self) -> int:
        """The offset of the first record."""
        return self.offsets[0][0]

    @property
    def last(self) -> int:
        """The offset of the last record."""
        return sum(self.offsets[-1]) - 1

    @property
    def records(self) -> int:
        """How many records there are."""
        return sum(count for _, count in self.offsets)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            size = len(base64.b64decode(self.prints, validate=True))
        except (binascii.Error, ValueError) as error:
            raise ValueError("prints are no base64") from error
        if size != self.records * PRINT_BYTES:
            raise ValueError(f"{size} bytes of prints for {self.records} records")
        if any(sum(left) > right[0] for left, right in pairwise(self.offsets)):
            raise ValueError("offsets do not ascend")
        return self


class SealedLog(Strict):
    """A partition of a topic as it was: its records from `first` up to `end`, by a ladder of digests."""

    topic: str
    partition: Natural
    first: Natural
    """The offset of the first record that was there."""
    end: Natural
    """The offset behind the last one."""
    rungs: tuple[Rung, ...]

    @property
    def records(self) -> int:
        """How many records are sealed."""
        return sum(rung.records for rung in self.rungs)

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if any(left.last >= right.first for left, right in pairwise(self.rungs)):
            raise ValueError("the ladder does not ascend")
        if self.rungs and (self.first, self.end) != (self.rungs[0].first, self.rungs[-1].last + 1):
            raise ValueError("first and end are not those of the ladder")
        return self


class SealedState(Strict):
    """State of a shard that was folded from its journal's first record."""

    offset: Natural
    """The journal offset up to which it was folded."""
    digest: str
    """Digest of its store (`refrain.streams.store.interface.digest`)."""


class SealedPartition(Strict):
    """A shard: its journal, its decisions, and its state."""

    journal: SealedLog
    decisions: SealedLog
    state: SealedState | None
    """None where it could not be folded from the first record by one version of the fold."""

    @model_validator(mode="after")
    def _is_of_one_shard(self) -> Self:
        if (self.journal.topic, self.decisions.topic) != ("journal", "decisions"):
            raise ValueError("it is not of a journal and of decisions")
        if self.journal.partition != self.decisions.partition:
            raise ValueError("its journal and decisions are of two partitions")
        return self


class SealedTopic(Strict):
    """Which topic it was."""

    id: str
    partitions: Natural


class Seal(Strict):
    """Proof of what stood in the logs at a moment."""

    v: Literal[1] = 1
    kind: Literal["refrain.seal"] = "refrain.seal"
    made_ms: Natural
    fold: str
    """The version of fold and guards that gave the states."""
    findings: Natural
    """What an audit found different when the seal was made."""
    topics: dict[str, SealedTopic]
    control: SealedLog
    partitions: tuple[SealedPartition, ...]
    public_key: Hex | None = None
    """The Ed25519 key that its signature is of, raw, in hex; None without one."""

    @model_validator(mode="after")
    def _is_of_these_topics(self) -> Self:
        if self.topics.keys() != set(TOPICS) or (self.control.topic, self.control.partition) != ("control", 0):
            raise ValueError(f"it is not of the topics {', '.join(TOPICS)}")
        if len({each.journal.partition for each in self.partitions}) < len(self.partitions):
            raise ValueError("a partition stands in it twice")
        return self

    @property
    def logs(self) -> list[SealedLog]:
        """All the logs that are sealed."""
        return [self.control, *(log for each in self.partitions for log in (each.journal, each.decisions))]

    def canonical(self) -> bytes:
        """Canonical JSON: keys sorted, no space, ASCII. It is what is signed."""
        return canonical(self.model_dump(mode="json"))


def canonical(value: Any) -> bytes:
    """Canonical JSON of a value without floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
