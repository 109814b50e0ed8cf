"""The incarnation of a topic that a consumer reads: offsets say nothing of another one.

A topic that is deleted and made anew begins at offset 0 again. The client does not tell, and reads on at the offset
that it was at; and what is committed meanwhile is taken by the new one for its own. Both would leave out what stands
before. So commits say of which incarnation they are, and which one is there is looked at now and then. A commit that
says nothing is of no worker: whoever set it may have left records out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future
from typing import Any, NamedTuple

from confluent_kafka import KafkaException

from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.faults import FORBIDDEN_CODES, MISSING_CODES, failure_of
from refrain.streams.kafka.interface import OffsetAndMetadata

LOOK_EVERY_S = 2.0
TOLD_MS = 86_400_000
"""How long commits tell that an offset was set by hand, or that the topic was made anew."""
_SIGN, _NOTE, _END = "@", "!", ";"

logger = logging.getLogger(__name__)

Describe = Callable[[], Future[Any]]
"""Asks for the description of the topic."""


class Incarnation:
    """The incarnation that a consumer reads of the topic `name` (its whole one).

    Without `describe` none is known, and offsets count for any. `clock` gives seconds.
    """

    def __init__(self, name: str, describe: Describe | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._describe = describe
        self._clock = clock
        self._due_s = 0.0
        self._asked: Future[Any] | None = None
        self.id = ""
        """The topic's id, empty while it is not known."""
        self._found = ""
        """The id of the one that has taken its place."""
        self._by_hand: dict[int, SetByHand] = {}
        self._anew_ms: dict[int, int] = {}
        """By partition: when it was found that the topic before it is gone (ms)."""
        self._untold: dict[int, OffsetAndMetadata] = {}

    def ask(self) -> None:
        """Ask which one is there, and wait for the answer. Raises ClusterFailed where it is another one.

        Of a topic that is not there, or not to be seen, nothing is known.
        """
        if self._describe is not None:
            self._asked = None
            self._due_s = self._clock() + LOOK_EVERY_S
            self._take(self._describe())

    def look(self) -> None:
        """Ask now and then, and wait for nothing. Raises ClusterFailed once another one is known to be there."""
        if self._describe is None:
            return
        asked = self._asked
        if asked is not None and asked.done():
            self._asked = None
            try:
                self._take(asked)
            except ClusterFailed as problem:
                if isinstance(problem, TopicMadeAnew):
                    raise
                # Who does not answer now is asked again; that is no outage of what the consumer reads.
                logger.debug("which topic %s is there is not known: %s", self._name, problem)
        elif asked is None and self._clock() >= self._due_s:
            self._due_s = self._clock() + LOOK_EVERY_S
            self._asked = self._describe()

    def begin(self, kept: Mapping[int, OffsetAndMetadata], now_ms: int) -> Collection[int]:
        """Begin with what was committed of partitions that have come; those whose offsets are of another incarnation.

        What was set by hand is logged. That, and that the topic was made anew, is told by the commits of a day.
        """
        others = kept.keys() - own(kept, self.id).keys()
        for partition, one in kept.items():
            self._by_hand.pop(partition, None)
            self._anew_ms.pop(partition, None)
            if partition in others:
                self._anew_ms[partition] = now_ms
                self._untold[partition] = OffsetAndMetadata(0)
                continue
            sign, rest = read_sign(one.metadata)
            if sign is None and self.id and not rest:
                self._by_hand[partition] = SetByHand(one.next_offset, now_ms)
                self._untold[partition] = one
                logger.warning("%s[%d] is read from %d on, where no worker had committed: it was set by hand, or by an"
                               " older version", self._name, partition, one.next_offset)  # fmt: skip
                continue
            found = None if sign is None else sign.by_hand
            if found is not None and now_ms - found.at_ms < TOLD_MS:
                self._by_hand[partition] = found
            if sign is not None and sign.anew_ms is not None and now_ms - sign.anew_ms < TOLD_MS:
                self._anew_ms[partition] = sign.anew_ms
        return others

    def of_the_new_one(self, partitions: Iterable[int], now_ms: int) -> dict[int, OffsetAndMetadata]:
        """What tells that the topic was made anew, once that is known: to be committed as it is."""
        return {partition: OffsetAndMetadata(0, str(Sign(self._found, None, now_ms))) for partition in partitions}

    def untold(self) -> dict[int, OffsetAndMetadata]:
        """What is to be told and is not told by a commit yet; asked once."""
        told, self._untold = self._untold, {}
        return told

    def signed(self, offsets: Mapping[int, OffsetAndMetadata]) -> dict[int, OffsetAndMetadata]:
        """Offsets to commit, which say of which incarnation they are."""
        if not self.id:
            return dict(offsets)
        return {
            partition: kept._replace(metadata=f"{self._sign(partition)}{kept.metadata}")
            for partition, kept in offsets.items()
        }

    def _sign(self, partition: int) -> Sign:
        return Sign(self.id, self._by_hand.get(partition), self._anew_ms.get(partition))

    def _take(self, described: Future[Any]) -> None:
        try:
            found = str(described.result().topic_id)
        except KafkaException as problem:
            error = problem.args[0]
            if error.code() in MISSING_CODES | FORBIDDEN_CODES:
                return
            raise failure_of(error, f"describing topic {self._name}") from problem
        if self.id and found != self.id:
            self._found = found
            raise TopicMadeAnew(self._name)
        self.id = found


class TopicMadeAnew(ClusterFailed):
    """The topic that somebody began with is gone, and another one has its name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"topic {name} was deleted and made anew, with all that was in it: who reads it begins again")


def partition_gone(name: str, partition: int, count: int) -> ClusterFailed:
    """What whoever reads one partition ends with where the new topic has only so many."""
    return ClusterFailed(
        f"topic {name} was deleted and made anew with {count} partitions, and this client reads partition {partition}:"
        " begin again"
    )


class SetByHand(NamedTuple):
    """An offset that was committed by hand, not by a worker; and when a worker found it (ms)."""

    offset: int
    at_ms: int


class Sign(NamedTuple):
    """What a worker's commit says beside the offset."""

    topic_id: str
    by_hand: SetByHand | None = None
    """Where the group went on from what was set by hand, lately."""
    anew_ms: int | None = None
    """When a worker found, lately, that the topic before this one is gone."""

    def __str__(self) -> str:
        notes: list[object] = [self.topic_id]
        if self.by_hand is not None:
            notes += self.by_hand
        if self.anew_ms is not None:
            notes += [*([] if self.by_hand else ["", ""]), self.anew_ms]
        return f"{_SIGN}{_NOTE.join(map(str, notes))}{_END}"


def read_sign(metadata: str) -> tuple[Sign | None, str]:
    """The sign of a commit, None without one, and the rest of its metadata."""
    sign, end, rest = metadata.partition(_END)
    if not end or not sign.startswith(_SIGN):
        return None, metadata
    topic_id, *notes = sign.removeprefix(_SIGN).split(_NOTE)
    offset, at_ms, anew_ms = (int(each) if each.isdecimal() else None for each in (*notes, "", "", "")[:3])
    by_hand = None if offset is None or at_ms is None else SetByHand(offset, at_ms)
    return Sign(topic_id, by_hand, anew_ms), rest


def safe_id(topic_id: object) -> str:
    """A topic id as Kafka's own tools write it: safe in file names and in ids."""
    return str(topic_id).replace("+", "-").replace("/", "_")


def own(offsets: Mapping[int, OffsetAndMetadata], topic_id: str) -> dict[int, OffsetAndMetadata]:
    """Of offsets that were committed those of this incarnation, as they were before they were signed.

    Those without a sign are from whoever sets offsets by hand, and count.
    """
    found = {}
    for partition, kept in offsets.items():
        sign, metadata = read_sign(kept.metadata)
        if sign is None or not topic_id or sign.topic_id == topic_id:
            found[partition] = kept._replace(metadata=metadata)
    return found
