"""Control client: sends a command to `control` and waits until everybody acts by it or govern refuses it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, Message, Producer

from refrain.ops.cluster.connection import client, create_client, reach, unreachable
from refrain.ops.cluster.lag import group_position
from refrain.ops.cluster.new_records import NewRecords
from refrain.ops.cluster.resume import last_version, why_ignored
from refrain.ops.control.acknowledged import Acknowledged, GroupProgress, Progress
from refrain.ops.control.refused import CONTROL, refusal_in
from refrain.schemas.control import Given, PolicyInForce, SetPolicy
from refrain.streams.errors import ClusterFailed, CommandRefused, SendFailed
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.faults import forbidden
from refrain.streams.runtime.policy_follower import PolicyWatch

if TYPE_CHECKING:
    from refrain.streams.settings import Settings

SEND_S = 15.0
POLL_S = 0.1
ADMIN_S = 10.0
DEAD_LETTERS = "dead-letters"
ACKNOWLEDGEMENTS = "acknowledgements"
POLICY_FOLLOWERS = ("classify", "populate")
"""Processors beside the shards whose workers follow policies, and acknowledge them."""
NOBODY = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


def control_producer(settings: Settings) -> Producer:
    """A producer of commands. Raises WrongSetup."""
    return create_client(Producer, {**client(settings), "enable.idempotence": True, "acks": "all"})


class ControlClient:
    """Control client for one command at a time."""

    def __init__(self, settings: Settings) -> None:
        """Connect. Raises Unreachable when no broker answers."""
        self._admin = reach(settings)
        self._settings = settings
        self._cluster = KafkaCluster(settings)
        self._watch = PolicyWatch(self._cluster)
        self._producer: Producer | None = None
        """Made with the first command; commands that follow need no connection of their own."""
        self._news: dict[str, NewRecords] = {}
        self._offset = -1
        self._is_sent = False
        """Whether a command was sent: then `control` takes them."""
        self._acknowledged = Acknowledged(0)
        self._policy_followers: tuple[str, ...] = ()

    @property
    def cluster(self) -> KafkaCluster:
        """The cluster that the command goes to."""
        return self._cluster

    def in_force(self) -> PolicyInForce | None:
        """The policy in force. Raises WrongSetup for a missing topic."""
        return self._watch.latest()

    def send(self, command: Given) -> int:
        """Send the command; returns its offset, which is its version.

        Raises SendFailed, WrongSetup, or CommandRefused where `control` was made anew and nobody would take it.
        """
        if not self._is_sent:
            last = last_version(self._cluster, self.in_force(), all_shards=False)
            ignored = why_ignored(self._cluster.end(CONTROL, 0), last)
            if ignored is not None:
                raise CommandRefused(f"{ignored}: run `refrain policies resume`, then give it again")
            self._is_sent = True
        self._news = {topic: NewRecords(self._cluster, topic) for topic in (DEAD_LETTERS, ACKNOWLEDGEMENTS)}
        if self._producer is None:
            self._producer = control_producer(self._settings)
        self._offset = _send(self._producer, self._settings.prefix + CONTROL, command.encode())
        self._acknowledged = Acknowledged(self._offset)
        self._policy_followers = POLICY_FOLLOWERS if isinstance(command, SetPolicy) else ()
        return self._offset

    def follow(self, version: int) -> None:
        """Follow a policy that was sent before: `wait` counts its acknowledgements from the start of the topic."""
        self._news = {
            DEAD_LETTERS: NewRecords(self._cluster, DEAD_LETTERS),
            ACKNOWLEDGEMENTS: NewRecords(self._cluster, ACKNOWLEDGEMENTS, from_start=True),
        }
        self._offset = version
        self._acknowledged = Acknowledged(version)
        self._policy_followers = POLICY_FOLLOWERS

    def wait(self, timeout_s: float, on_progress: Callable[[Progress], None] = lambda progress: None) -> int:
        """Wait until every shard, and for a policy every worker, acts by the command; returns its version.

        `on_progress` hears of each poll. Raises CommandRefused with govern's reason, or ClusterFailed naming
        what is missing after `timeout_s`; the command stands then, and is taken when they run.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._raise_if_refused(deadline)
            progress = self._poll(deadline)
            if progress.complete:
                return self._offset
            on_progress(progress)
            if time.monotonic() > deadline:
                raise ClusterFailed(self._timeout_message(progress, timeout_s))
            time.sleep(POLL_S)

    def wait_until(self, done: Callable[[], bool], timeout_s: float, pending: str) -> None:
        """Wait until `done`. Raises CommandRefused, or ClusterFailed, which names what is `pending`."""
        deadline = time.monotonic() + timeout_s
        while not done():
            self._raise_if_refused(deadline)
            if time.monotonic() > deadline:
                taken = "" if self._is_taken() else "; is `refrain run govern` running?"
                raise ClusterFailed(
                    f"{pending} after {timeout_s:g} s{taken} The command stands at offset {self._offset} of"
                    f" {self._settings.prefix}{CONTROL}"
                )
            time.sleep(POLL_S)

    def _poll(self, deadline: float) -> Progress:
        # Members before acknowledgements: who joins in between reads the policy as it is now.
        groups = {name: self._group(name) for name in self._policy_followers}
        for record in self._news[ACKNOWLEDGEMENTS].read(lambda: time.monotonic() > deadline):
            self._acknowledged.add(record.value)
        return self._acknowledged.progress(range(self._cluster.partitions("journal")), groups)

    def _group(self, processor: str) -> GroupProgress:
        group_id = self._settings.prefix + processor
        try:
            found = self._admin.describe_consumer_groups([group_id], request_timeout=ADMIN_S)[group_id].result()
        except KafkaException as problem:
            if problem.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return GroupProgress()
            raise unreachable(self._settings, problem) from problem
        if found.state in NOBODY:
            return GroupProgress()
        members = frozenset(member.member_id for member in found.members)
        return GroupProgress(members, settled=found.state == ConsumerGroupState.STABLE)

    def _raise_if_refused(self, deadline: float) -> None:
        letters = self._news[DEAD_LETTERS].read(lambda: time.monotonic() > deadline)
        told = refusal_in(letters, self._offset)
        if told is not None:
            raise CommandRefused(told)

    def _timeout_message(self, progress: Progress, timeout_s: float) -> str:
        stands = f"The command stands at offset {self._offset} of {self._settings.prefix}{CONTROL} and will be taken"
        if not self._is_taken():
            return f"not taken after {timeout_s:g} s: is `refrain run govern` running? {stands} when govern runs"
        return f"{progress.missing()} after {timeout_s:g} s: are they running? {stands} when they run"

    def _is_taken(self) -> bool:
        """Whether govern has carried the command out, or refused it."""
        return (group_position(self._admin, self._settings, "govern", CONTROL) or 0) > self._offset


def _send(producer: Producer, topic: str, value: bytes) -> int:
    """Produce the command; returns its offset. Raises SendFailed or Forbidden."""
    done: list[tuple[KafkaError | None, int]] = []

    def reported(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        done.append((error, -1 if offset is None else offset))

    try:
        producer.produce(topic, value, on_delivery=reported)
        producer.flush(SEND_S)
    except KafkaException as problem:
        raise forbidden(problem.args[0], "sending the command") or SendFailed(
            f"the command cannot be sent: {problem.args[0].str()}"
        ) from problem
    if not done:
        raise SendFailed(f"the command was not acknowledged within {SEND_S:g} s: it may still be carried out")
    error, offset = done[0]
    if error is not None:
        raise forbidden(error, f"sending the command to {topic}") or SendFailed(
            f"{topic} refused the command: {error.str()}"
        )
    return offset
