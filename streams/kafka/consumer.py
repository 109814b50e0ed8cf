"""The consumer of the real cluster: a member of a cooperative group that reads committed records alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, KafkaError, KafkaException, Message, TopicPartition
from confluent_kafka import Consumer as ConfluentConsumer

from refrain.streams import time_of_day
from refrain.streams.errors import ClusterFailed, OffsetLost, Rebalanced, Unanswered, WrongSetup
from refrain.streams.kafka.brokers_away import BrokersAway
from refrain.streams.kafka.config import group_consumer_config
from refrain.streams.kafka.convert import KafkaGroupMetadata, record_of, topic_partitions
from refrain.streams.kafka.damage import SILENT_S
from refrain.streams.kafka.faults import CUT_CODES, MISSING_CODES, failure_of, raise_unless_recovering
from refrain.streams.kafka.incarnation import Describe, Incarnation, TopicMadeAnew, own
from refrain.streams.kafka.interface import OffsetAndMetadata, RebalanceListener, Record
from refrain.streams.kafka.offsets import Place, committed_offsets
from refrain.streams.kafka.outages import Outages
from refrain.streams.kafka.passing import Passing
from refrain.streams.kafka.raw_fetch import Fetch, raw_fetch
from refrain.streams.kafka.seeking import seek_to
from refrain.streams.kafka.starts import GroupStarts
from refrain.streams.kafka.turns import Turns
from refrain.streams.settings import Settings

TAKEN_MAX = 1_000
"""Records taken from the client at once."""


class KafkaConsumer:
    """A member of a cooperative-sticky consumer group; its listener hears of each rebalance from within `poll`."""

    def __init__(
        self,
        base: Mapping[str, Any],
        settings: Settings,
        topic: str,
        group: str,
        listener: RebalanceListener | None,
        from_start: bool,
        outages: Outages,
        fetch: Fetch | None = None,
        describe: Describe | None = None,
        instance: str = "",
    ) -> None:
        self._topic = topic
        self._instance = instance
        self._name = settings.prefix + topic
        self._listener = listener
        self._from_start = from_start
        self._outages = outages
        self._incarnation = Incarnation(self._name, describe, outages.clock)
        self._away = BrokersAway(outages, self._name, lambda within_s: self.consumer.list_topics(self._name, within_s))
        self._committing = outages.waiting(f"committing offsets of {self._name}")
        self._cut: deque[OffsetLost] = deque()
        self._adrift: set[int] = set()
        """Partitions of which the client has no place: cut ones, and those that their owner seeks before it reads."""
        self._turns = Turns()
        self._paused: set[int] = set()
        """Partitions that their owner has paused."""
        self._held_back: set[int] = set()
        """Partitions that are read no further, since much of them is held."""
        self._given_back: set[int] = set()
        """Partitions that were given back while records were read."""
        self._assigned: frozenset[int] = frozenset()
        """As the rebalances leave it: the client's own thread would have to be asked, and waited for."""
        self._member = ""
        """The member's id, empty where the client has to be asked."""
        self.consumer = ConfluentConsumer(
            group_consumer_config(base, settings, group, from_start=from_start, instance=instance)
        )
        self._passing = Passing(
            self.consumer,
            {self._name: topic},
            fetch or raw_fetch(settings),
            SILENT_S,
            outages.clock,
            read=lambda: self._places(self._assigned - self._paused - self._held_back - self._adrift),
            assigned=lambda: self._places(self._assigned),
            starts=GroupStarts(self.consumer, self._name, self._committed) if from_start else None,
        )
        self.consumer.subscribe(
            [self._name], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )

    def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        try:
            return self._poll(max_records, timeout_s)
        except TopicMadeAnew:
            self._tell_anew()
            raise

    def _poll(self, max_records: int, timeout_s: float) -> list[Record]:
        self._incarnation.look()
        self._raise_cut()
        records = self._read(timeout_s if self._turns.is_idle else 0.0)
        if not self._turns.is_empty or len(records) > max_records:
            self._turns.add(records)
            records = self._turns.take(max_records)
        if self._held_back or not self._turns.is_empty:
            self._hold_back()
        if not records:
            self._raise_cut()
        return records

    def _read(self, timeout_s: float) -> list[Record]:
        """Take what the client has read, or wait for the first record."""
        self._given_back.clear()
        try:
            first = self.consumer.poll(timeout_s)
            messages = [] if first is None else [first, *self.consumer.consume(TAKEN_MAX - 1, 0)]
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"reading {self._name}") from problem
        if not messages and self._away.lasting:
            self._away.look()
            return []
        if self._given_back:
            # While it was read: its next owner reads it again.
            messages = [message for message in messages if message.partition() not in self._given_back]
        heard = self._passing.hear(messages)
        records = []
        for message in heard.messages:
            error = message.error()
            if error is None:
                records.append(record_of(self._topic, message))
            elif error.code() not in CUT_CODES:
                self._told(error)
            elif message.partition() not in self._adrift:
                # Told when what was read before is handed out: it would be lost with it.
                self._cut.append(self._cut_at(message))
        records += heard.flawed
        return records

    def _raise_cut(self) -> None:
        """Raise OffsetLost of a partition that was cut, once all that was read of it before is handed out."""
        for cut in self._cut:
            if cut.partition is None or self._turns.first_of(cut.partition) is None:
                self._cut.remove(cut)
                raise cut

    def _hold_back(self) -> None:
        """Read no further what crowds the others out, and read on what has room again."""
        room = {partition for partition in self._held_back if self._turns.has_room(partition)}
        self._held_back -= room
        self._passing.wake(self._places(room))
        self._resume_client(room - self._paused - self._adrift)
        crowded = self._turns.crowded(self._assigned - self._held_back)
        self._held_back.update(crowded)
        self._pause_client(crowded)

    def _pause_client(self, partitions: Collection[int]) -> None:
        if partitions:
            self.consumer.pause([TopicPartition(self._name, partition) for partition in partitions])

    def _resume_client(self, partitions: Collection[int]) -> None:
        if partitions:
            self.consumer.resume([TopicPartition(self._name, partition) for partition in partitions])

    def _cut_at(self, message: Message) -> OffsetLost:
        """What to raise for a partition that was cut; it is paused until its owner seeks it."""
        error, partition = message.error(), message.partition()
        why = "" if error is None else error.str()
        if partition is not None:
            self._pause_client([partition])
            self._adrift.add(partition)
        return OffsetLost(
            f"reading {self._name}[{partition}]: {why}; the topic was cut before this worker could read it",
            partition,
        )

    def _told(self, error: KafkaError) -> None:
        """Note an error of a poll. Raises it when it is not one that the client recovers from by itself."""
        if self._instance and error.code() == KafkaError._FATAL:
            raise WrongSetup(
                f"another worker reads {self._name} as the static member {self._instance}: give each a state_dir of its"
                f" own, no copy of another's; {error.str()}"
            )
        if error.code() in MISSING_CODES:
            # It may be back by now: then what ends this worker is that it is another one.
            with suppress(Unanswered):
                self._incarnation.ask()
        raise_unless_recovering(error, f"reading {self._name}")
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._away.begin(error.str())

    def commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        if not offsets:
            return
        try:
            self._commit(self._incarnation.signed(offsets))
        except Unanswered as problem:
            self._committing.failed(problem)
            raise
        self._committing.answered()

    def _commit(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        try:
            done = self.consumer.commit(offsets=topic_partitions(self._name, offsets), asynchronous=False)
        except KafkaException as problem:
            raise failure_of(problem.args[0], f"committing offsets of {self._name}") from problem
        for each in done:
            if each.error is not None:
                raise failure_of(each.error, f"committing the offset of {self._name}[{each.partition}]")

    def committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        return self._outages.ask_again(f"the committed offsets of {self._name}", lambda: self._committed(partitions))

    def _committed(self, partitions: Sequence[int]) -> dict[int, OffsetAndMetadata]:
        return own(committed_offsets(self.consumer, self._name, partitions), self._incarnation.id)

    def seek(self, partition: int, offset: int) -> None:
        self._turns.drop([partition])
        self._passing.begin((self._name, partition), offset)
        anew = partition in self._adrift
        seek_to(self.consumer, self._name, partition, offset, anew=anew)
        if anew:
            # It would be read at once: its owner resumes it.
            self._pause_client([partition])
            self._adrift.discard(partition)

    def pause(self, partitions: Sequence[int]) -> None:
        self._turns.stop(partitions)
        self._paused.update(partitions)
        self._pause_client(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        self._turns.go_on(partitions)
        self._paused.difference_update(partitions)
        self._passing.wake(self._places(partitions))
        self._resume_client(set(partitions) - self._held_back)

    def _places(self, partitions: Iterable[int]) -> list[Place]:
        return [(self._name, partition) for partition in partitions]

    def assignment(self) -> list[int]:
        return sorted(self._assigned)

    def lag(self) -> dict[int, int]:
        firsts = {partition: self._turns.first_of(partition) for partition in self._assigned}
        held = {(self._name, partition): first for partition, first in firsts.items() if first is not None}
        return {partition: records for (_, partition), records in self._passing.lag(held).items()}

    def close(self) -> None:
        self._away.close()
        self._committing.answered()
        self.consumer.close()

    def group_metadata(self) -> KafkaGroupMetadata:
        left = f"this worker has left the group that reads {self._name}, or was taken for dead"
        try:
            before = self.consumer.memberid()
            metadata = self.consumer.consumer_group_metadata()
            after = self.consumer.memberid()
        except RuntimeError as closing:
            # A consumer that closes gives its partitions back from within `close`, when it is no member any more.
            raise Rebalanced(left) from closing
        # Not every broker version fences a transaction that names no member.
        if not before or after != before:
            raise Rebalanced(left)
        return KafkaGroupMetadata(self._topic, self._name, metadata, self._incarnation.signed)

    def member_id(self) -> str:
        # A member that has partitions gets another id only after they are lost: of a rebalance its owner hears.
        if not self._member or not self._assigned:
            self._member = self.consumer.memberid() or ""
        return self._member

    def _on_assign(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        # What comes of them from now on is ours, however soon: read twice, but never left out.
        self._given_back.difference_update(each.partition for each in partitions)
        self._passing.forget((each.topic, each.partition) for each in partitions)
        if not self._from_start:
            # The owner seeks before it reads; until then the partition is paused and its offset moot. A number: the
            # answer to a question for the first offset may come after the owner's, and the client would go there.
            partitions = [TopicPartition(p.topic, p.partition, 0) for p in partitions]
            # He hears what was committed of this topic alone.
            self._outages.ask_again(f"which topic {self._name} is there", self._incarnation.ask)
        elif partitions:
            others = self._outages.ask_again(
                f"which topic {self._name} is there", lambda: self._of_others([each.partition for each in partitions])
            )
            for each in partitions:
                if each.partition in others:
                    each.offset = OFFSET_BEGINNING
        consumer.incremental_assign(partitions)
        self._rebalanced(self._assigned | {each.partition for each in partitions})
        if not self._from_start and partitions:
            self.pause([each.partition for each in partitions])
            self._adrift.update(each.partition for each in partitions)
        # Told at once: perhaps nothing comes that would be committed. What it does not take is told with the next.
        self._tell(self._incarnation.signed(self._incarnation.untold()))
        if self._listener is not None:
            self._listener.assigned([each.partition for each in partitions])

    def _tell_anew(self) -> None:
        """Commit that the topic was made anew: with the one before, the broker deletes what was committed of it."""
        if self._from_start:
            self._tell(self._incarnation.of_the_new_one(self.assignment(), time_of_day.now_ms()))

    def _tell(self, offsets: Mapping[int, OffsetAndMetadata]) -> None:
        """Commit signed offsets for the sake of what their signs tell, as far as that goes."""
        if offsets:
            with suppress(ClusterFailed):
                self._commit(offsets)

    def _of_others(self, partitions: Sequence[int]) -> Collection[int]:
        """The partitions whose offsets were committed of another incarnation of the topic."""
        self._incarnation.ask()
        kept = committed_offsets(self.consumer, self._name, partitions)
        return self._incarnation.begin(kept, time_of_day.now_ms())

    def _on_revoke(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        self._leave(consumer, partitions, None if self._listener is None else self._listener.revoked)

    def _on_lost(self, consumer: ConfluentConsumer, partitions: list[TopicPartition]) -> None:
        self._leave(consumer, partitions, None if self._listener is None else self._listener.lost)

    def _leave(
        self,
        consumer: ConfluentConsumer,
        partitions: list[TopicPartition],
        tell: Callable[[Sequence[int]], None] | None,
    ) -> None:
        """Give partitions back once their owner has heard of it."""
        numbers = [each.partition for each in partitions]
        self._give_back(numbers)
        if tell is not None:
            tell(numbers)
        consumer.incremental_unassign(partitions)
        self._rebalanced(self._assigned - set(numbers))

    def _rebalanced(self, assigned: frozenset[int]) -> None:
        self._assigned = assigned
        self._member = ""

    def _give_back(self, partitions: Sequence[int]) -> None:
        """Forget all that is known of partitions that are given back."""
        self._given_back.update(partitions)
        self._turns.drop(partitions)
        self._turns.go_on(partitions)
        self._passing.forget(self._places(partitions))
        for known in (self._adrift, self._held_back, self._paused):
            known.difference_update(partitions)
