"""Passes over batches that nobody can read, for every client that reads: a group's member, a scan, a reader, a tail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from refrain.streams.every import Every
from refrain.streams.kafka.convert import int_of
from refrain.streams.kafka.damage import ALERT_SILENT_S, Damage, Sifted
from refrain.streams.kafka.faults import BROKEN_CODES, CUT_CODES, failure_of
from refrain.streams.kafka.interface import Record
from refrain.streams.kafka.offsets import Place, end_so_far
from refrain.streams.kafka.raw_fetch import Fetch
from refrain.streams.kafka.seeking import seek_to
from refrain.streams.kafka.starts import GroupStarts

READ_SILENT_S = 0.5
"""How long a partition that is read to its end may give nothing before it is looked at."""


class Heard(NamedTuple):
    """What came of the partitions: those of one in their order, first the messages."""

    messages: Sequence[Message]
    """Records, ends of partitions, and errors other than those of batches that cannot be read."""
    flawed: Sequence[Record] = ()
    """One for each batch that is passed over."""


class Passing:
    """Sifts what a client gives. It seeks where it passes over something.

    `topics` are those of the table, by their names on the cluster. `read` gives the partitions that are read now (None:
    all that are assigned), `assigned` those that are assigned (None: the client is asked), `starts` tells where those
    begin that nobody has begun (None: nobody).
    """

    def __init__(
        self,
        consumer: Consumer,
        topics: Mapping[str, str],
        fetch: Fetch,
        silent_s: float = READ_SILENT_S,
        clock: Callable[[], float] = time.monotonic,
        read: Callable[[], Iterable[Place]] | None = None,
        assigned: Callable[[], Iterable[Place]] | None = None,
        starts: GroupStarts | None = None,
    ) -> None:
        self._consumer = consumer
        self._assigned = assigned or self._asked
        self._read = read or self._assigned
        self._starts = starts
        self._looking = Every(ALERT_SILENT_S / 2, clock)
        self._damages = {name: Damage(topic, name, fetch, clock, silent_s) for name, topic in topics.items()}
        self._sought: set[Place] = set()
        """Partitions that it has sought since anything came of them: the client tells an older position."""

    def begin(self, place: Place, at: int | None) -> None:
        """A partition is read from an offset on, or from one that is not known."""
        self._damages[place[0]].begin(place[1], at)
        self._sought.discard(place)

    def wake(self, places: Iterable[Place]) -> None:
        """Partitions that were not read for a while are read on."""
        for name, partition in places:
            self._damages[name].wake(partition)

    def forget(self, places: Iterable[Place]) -> None:
        """Partitions are read no more."""
        for name, partition in places:
            self._damages[name].forget(partition)
            self._sought.discard((name, partition))

    def positions(self, places: Iterable[Place]) -> dict[Place, int]:
        """The next offset of each partition, as far as it is known without a question."""
        found = {}
        for each in self._consumer.position([TopicPartition(*place) for place in places]):
            place = each.topic, each.partition
            # Before its first record the client tells none, and behind what was passed over an older one.
            if each.offset >= 0 and place not in self._sought:
                found[place] = each.offset
            elif (at := self._damages[place[0]].place(place[1])) is not None:
                found[place] = at
        return found

    def lag(self, held: Mapping[Place, int] | None = None) -> dict[Place, int]:
        """The records of each assigned partition that are not read yet, as far as is known without a question.

        `held` are offsets from which on records have come that nobody has read (None: of no partition).
        """
        places = {**self.positions(self._assigned()), **(held or {})}
        ends = {place: self._end_of(place) for place in places}
        return {place: max(0, ends[place] - at) for place, at in places.items() if ends[place] >= 0}

    def hear(self, messages: Sequence[Message], ends: Mapping[Place, int] | None = None) -> Heard:
        """What is believed of polled messages, and what stands for batches that cannot be read.

        Those are also looked for where nothing comes though something is there: `ends` are the partitions that are
        read, and up to where (None: as far as the client knows them). Raises ClusterFailed.
        """
        heard = self._sift_all(messages)
        # Also while others come: a partition may be silent beside those.
        behind = self._behind_silence(ends)
        return Heard(heard.messages, [*heard.flawed, *behind]) if behind else heard

    def _sift_all(self, messages: Sequence[Message]) -> Heard:
        offsets: dict[Place, list[int]] = {}
        broken: list[Message] = []
        cut: list[Message] = []
        for message in messages:
            error = message.error()
            if error is None:
                offsets.setdefault(_place(message), []).append(int_of(message.offset()))
            elif error.code() in BROKEN_CODES and message.partition() is not None:
                broken.append(message)
            elif error.code() in CUT_CODES and message.partition() is not None:
                cut.append(message)
        for message in broken:
            self._look_at_broken(message)
            offsets.setdefault(_place(message), [])
        found = {place: self._sift(place, theirs) for place, theirs in offsets.items()}
        for message in cut:
            place = _place(message)
            so_far = found.get(place, Sifted(0))
            if so_far.place is None and (at := self._strayed_from(place, message)) is not None:
                found[place] = self._sent_to(place, so_far._replace(place=at))
        if not broken and all(each.place is None for each in found.values()):
            self._sought -= {_place(message) for message in messages} if self._sought else set()
            return Heard(messages)
        return self._without_passed(messages, found)

    def _behind_silence(self, ends: Mapping[Place, int] | None) -> list[Record]:
        passed: list[Record] = []
        if not self._looking.is_due():
            return passed
        for place in self._read() if ends is None else list(ends):
            damage, end = self._damages[place[0]], self._end_of(place) if ends is None else ends[place]
            at = self._start_of(place, may_wait=True) if end > 0 else None
            if at is not None and damage.is_silent(place[1], at, end):
                found = self._sift(place, ()).flawed if damage.look(place[1], at) else ()
                passed += found
                if not found:
                    # It was another silence, as of a broker: what is behind the others may come meanwhile.
                    break
        return passed

    def _look_at_broken(self, message: Message) -> None:
        """Look at a batch that the client says it cannot read. Raises what it says where it cannot be looked at."""
        place, offset, error = _place(message), int_of(message.offset()), message.error()
        at = self._start_of(place, may_wait=True)
        start = offset if at is None else at
        if error is None or start > offset:
            return
        if not self._damages[place[0]].look(place[1], start, broken_at=offset):
            raise failure_of(error, f"reading {place[0]}[{place[1]}]")

    def _sift(self, place: Place, offsets: Sequence[int]) -> Sifted:
        name, partition = place
        self._start_of(place)
        found = self._damages[name].sift(partition, offsets, self._end_of(place) if offsets else -1)
        return self._sent_to(place, found)

    def _sent_to(self, place: Place, found: Sifted) -> Sifted:
        if found.place is not None:
            self._sought.add(place)
            seek_to(self._consumer, *place, found.place)
        return found

    def _strayed_from(self, place: Place, message: Message) -> int | None:
        """The offset that comes next, where the client says of another one that the topic does not have it.

        Behind a record that tells of an offset far away the client asks for what follows that, and says so also after
        it was sent elsewhere.
        """
        at = self._start_of(place)
        return None if at is None or at == int_of(message.offset()) else at

    def _start_of(self, place: Place, *, may_wait: bool = False) -> int | None:
        """The offset that comes next of a partition; None where nobody tells it. Only who `may_wait` asks for it."""
        damage = self._damages[place[0]]
        if self._starts is not None and not damage.knows(place[1]):
            # Of all at once: one question is as long as many.
            unknown = {each for each in [place, *self._assigned()] if not self._damages[each[0]].knows(each[1])}
            committed = self._starts.committed(unknown)
            for each in unknown:
                self.begin(each, committed.get(each))
        at = damage.place(place[1])
        if at is None and self._starts is not None and may_wait:
            at = self._starts.first(place)
            if at is not None:
                self.begin(place, at)
        return at

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
        self._sought -= {_place(message) for message in kept} - moved
        return Heard(kept, [record for each in found.values() for record in each.flawed])

    def _asked(self) -> list[Place]:
        return [(each.topic, each.partition) for each in self._consumer.assignment()]

    def _end_of(self, place: Place) -> int:
        """The end of a partition as far as the client knows it."""
        return end_so_far(self._consumer, *place)


def assigned(consumer: Consumer, topics: Mapping[str, str], fetch: Fetch, starts: Iterable[TopicPartition]) -> Passing:
    """Have a client read partitions from these offsets on, and what passes over what it cannot read there."""
    starts = list(starts)
    consumer.assign(starts)
    passing = Passing(consumer, topics, fetch)
    for place in starts:
        passing.begin((place.topic, place.partition), place.offset)
    return passing


def is_end(message: Message) -> bool:
    """Whether a message tells of the end of its partition."""
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF


def _place(message: Message) -> Place:
    return message.topic() or "", int_of(message.partition())
