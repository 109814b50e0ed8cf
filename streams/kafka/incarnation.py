"""The incarnation of a topic that a consumer reads: offsets say nothing of another one.

A topic that is deleted and made anew begins at offset 0 again. The client does not tell, and reads on at the offset
that it was at; and what is committed meanwhile is taken by the new one for its own. Both would leave out what stands
before. So commits say of which incarnation they are, and which one is there is looked at now and then.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import KafkaException

from refrain.streams.errors import ClusterFailed
from refrain.streams.kafka.faults import FORBIDDEN_CODES, MISSING_CODES, failure_of
from refrain.streams.kafka.interface import OffsetAndMetadata

LOOK_EVERY_S = 2.0
_SIGN, _END = "@", ";"

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

    def _take(self, described: Future[Any]) -> None:
        try:
            found = str(described.result().topic_id)
        except KafkaException as problem:
            error = problem.args[0]
            if error.code() in MISSING_CODES | FORBIDDEN_CODES:
                return
            raise failure_of(error, f"describing topic {self._name}") from problem
        if self.id and found != self.id:
            raise TopicMadeAnew(self._name)
        self.id = found


class TopicMadeAnew(ClusterFailed):
    """The topic that a worker began with is gone, and another one has its name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"topic {name} was deleted and made anew, with all that was in it: this worker begins again")


def signed(offsets: Mapping[int, OffsetAndMetadata], topic_id: str) -> dict[int, OffsetAndMetadata]:
    """Offsets to commit, which say of which incarnation they are."""
    if not topic_id:
        return dict(offsets)
    sign = f"{_SIGN}{topic_id}{_END}"
    return {partition: kept._replace(metadata=sign + kept.metadata) for partition, kept in offsets.items()}


def own(offsets: Mapping[int, OffsetAndMetadata], topic_id: str) -> dict[int, OffsetAndMetadata]:
    """Of offsets that were committed those of this incarnation, as they were before they were signed.

    Those without a sign are from whoever sets offsets by hand, and count.
    """
    found = {}
    for partition, kept in offsets.items():
        sign, end, metadata = kept.metadata.partition(_END)
        if not end or not sign.startswith(_SIGN):
            found[partition] = kept
        elif not topic_id or sign == _SIGN + topic_id:
            found[partition] = kept._replace(metadata=metadata)
    return found


def foreign(offsets: Mapping[int, OffsetAndMetadata], topic_id: str) -> Collection[int]:
    """The partitions whose offsets were committed of another incarnation."""
    return offsets.keys() - own(offsets, topic_id).keys()
