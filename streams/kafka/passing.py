"""Passes over batches that nobody can read, for consumers without a group that are assigned to partitions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message

from refrain.streams.kafka.convert import int_of
from refrain.streams.kafka.damage import ALERT_SILENT_S, Damage, Sifted
from refrain.streams.kafka.faults import BROKEN_CODES, failure_of
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.offsets import end_so_far
from refrain.streams.kafka.raw_fetch import Fetch
from refrain.streams.kafka.seeking import seek_to

READ_SILENT_S = 0.5
"""How long nothing comes of a partition of which somebody waits for all that is there, until it is looked at."""

Place = tuple[str, int]
"""A topic's name on the cluster, and a partition."""


class Heard(NamedTuple):
    """What came of the partitions: those of one in their order."""

    messages: Sequence[Message]
    """Records, ends of partitions, and errors other than those of batches that cannot be read."""
    flawed: Sequence[Record] = ()
    """One for each batch that is passed over."""


class Passing:
    """Sifts what a consumer gives. It seeks where it passes over something."""

    def __init__(
        self,
        consumer: Consumer,
        topics: Mapping[str, str],
        fetch: Fetch,
        silent_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`topics` are those of the table, by their names on the cluster."""
        self._consumer = consumer
        self._clock = clock
        self._look_due_s = 0.0
        self._damages = {name: Damage(topic, name, fetch, clock, silent_s) for name, topic in topics.items()}
        self.sought: set[Place] = set()
        """Partitions that it has sought since anything came of them: the client tells an older position."""

    def begin(self, place: Place, at: int | None) -> None:
        """A partition is read from an offset on, or from one that is not known."""
        self._damages[place[0]].begin(place[1], at)
        self.sought.discard(place)

    def at(self, place: Place) -> int | None:
        """The next offset of a partition, None where it is not known."""
        return self._damages[place[0]].place(place[1])

    def sift(self, messages: Sequence[Message]) -> Heard:
        """What is believed of polled messages, and what stands for batches that cannot be read."""
        offsets: dict[Place, list[int]] = {}
        broken: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                offsets.setdefault(_place(message), []).append(int_of(message.offset()))
            elif error.code() in BROKEN_CODES and message.partition() is not None:
                broken.append(message)
        for message in broken:
            self._look_at_broken(message)
            offsets.setdefault(_place(message), [])
        found = {place: self._sift(place, theirs) for place, theirs in offsets.items()}
        if not broken and all(each.place is None for each in found.values()):
            self.sought -= {_place(message) for message in messages} if self.sought else set()
            return Heard(messages)
        return self._without_passed(messages, found)

    def behind_silence(self, ends: Mapping[Place, int] | None = None) -> list[Record]:
        """What stands for batches that cannot be read, where nothing comes though something is there.

        `ends` are the offsets up to which partitions are read; None: as far as the client knows them.
        """
        if self._clock() < self._look_due_s:
            return []
        self._look_due_s = self._clock() + ALERT_SILENT_S / 2
        passed: list[Record] = []
        for place in self._assigned() if ends is None else list(ends):
            damage, at = self._damages[place[0]], self.at(place)
            end = self._end_of(place) if ends is None else ends[place]
            if at is not None and damage.is_silent(place[1], at, end) and damage.look(place[1], at):
                passed += self._sift(place, ()).flawed
        return passed

    def _look_at_broken(self, message: Message) -> None:
        """Look at a batch that the client says it cannot read. Raises what it says where it cannot be looked at."""
        place, offset, error = _place(message), int_of(message.offset()), message.error()
        at = self.at(place)
        start = offset if at is None else at
        if error is None or start > offset:
            return
        if not self._damages[place[0]].look(place[1], start, broken_at=offset):
            raise failure_of(error, f"reading {place[0]}[{place[1]}]")

    def _sift(self, place: Place, offsets: Sequence[int]) -> Sifted:
        name, partition = place
        found = self._damages[name].sift(partition, offsets, self._end_of(place) if offsets else -1)
        if found.place is not None:
            self.sought.add(place)
            seek_to(self._consumer, name, partition, found.place)
        return found

    def _without_passed(self, messages: Sequence[Message], found: Mapping[Place, Sifted]) -> Heard:
        left = {place: each.kept for place, each in found.items()}
        kept = []
        for message in messages:
            place, error = _place(message), message.error()
            if error is None:
                if left[place] > 0:
                    left[place] -= 1
                    kept.append(message)
            elif error.code() in BROKEN_CODES or (place in found and found[place].place is not None):
                # Told, or of where the client was before it was sent elsewhere.
                continue
            else:
                kept.append(message)
        moved = {place for place, each in found.items() if each.place is not None}
        self.sought -= {_place(message) for message in kept} - moved
        return Heard(kept, [record for each in found.values() for record in each.flawed])

    def _assigned(self) -> list[Place]:
        return [(each.topic, each.partition) for each in self._consumer.assignment()]

    def _end_of(self, place: Place) -> int:
        """The end of a partition as far as the client knows it."""
        return end_so_far(self._consumer, *place)


def is_end(message: Message) -> bool:
    """Whether a message tells of the end of its partition."""
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _place(message: Message) -> Place:
    return message.topic() or "", int_of(message.partition())
