"""A command on its way: placed on `control`, and waited for until everybody acts by it or govern has refused it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from confluent_kafka import ConsumerGroupState, KafkaError, KafkaException, Message, Producer
from refrain.ops.cluster.connection import client, create_client, reach, unreachable
from refrain.ops.cluster.lag import group_position
from refrain.ops.control.acknowledged import Acknowledged, GroupProgress, Progress
from refrain.schemas.control import Given, PolicyInForce, SetPolicy
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_REASON, HEADER_TOPIC
from refrain.streams.errors import ClusterFailed, CommandRefused, SendFailed
from refrain.streams.kafka.cluster import KafkaCluster
from refrain.streams.kafka.faults import forbidden
from refrain.streams.runtime.policy_follower import PolicyWatch

if TYPE_CHECKING:
    from refrain.streams.kafka.interface import Record
    from refrain.streams.settings import Settings

SEND_S = 15.0
LOOK_S = 0.1
ADMIN_S = 10.0
CONTROL = "control"
GRAVES = "dead-letters"
ACKNOWLEDGEMENTS = "acknowledgements"
KEEPERS = ("classify", "populate")
"""Processors whose workers act by a policy before and after the shards."""
NOBODY = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


class ControlClient:
    """One command at a time, from looking at what is in force to seeing everybody act by it."""

    def __init__(self, settings: Settings) -> None:
        """Raises Unreachable when no broker answers."""
        self._admin = reach(settings)
        self._settings = settings
        self._cluster = KafkaCluster(settings)
        self._watch = PolicyWatch(self._cluster)
        self._tails: dict[str, _Tail] = {}
        self._offset = -1
        self._said = Acknowledged(0)
        self._keepers: tuple[str, ...] = ()

    @property
    def cluster(self) -> KafkaCluster:
        """The cluster that the command goes to."""
        return self._cluster

    def in_force(self) -> PolicyInForce | None:
        """The policy in force. Raises WrongSetup for a missing topic."""
        return self._watch.latest()

    def send(self, command: Given) -> int:
        """Send the command; returns its offset, which is its version. Raises SendFailed or WrongSetup."""
        self._tails = {topic: _Tail(self._cluster, topic) for topic in (GRAVES, ACKNOWLEDGEMENTS)}
        self._offset = _send(self._settings, command.encode())
        self._said = Acknowledged(self._offset)
        self._keepers = KEEPERS if isinstance(command, SetPolicy) else ()
        return self._offset

    def follow(self, version: int) -> None:
        """Go on with a policy that was placed before: `wait` counts what was acknowledged since."""
        self._tails = {
            GRAVES: _Tail(self._cluster, GRAVES),
            ACKNOWLEDGEMENTS: _Tail(self._cluster, ACKNOWLEDGEMENTS, from_start=True),
        }
        self._offset = version
        self._said = Acknowledged(version)
        self._keepers = KEEPERS

    def wait(self, timeout_s: float, told: Callable[[Progress], None] = lambda standing: None) -> int:
        """Wait until every shard, and for a policy every worker, acts by the command; returns its version.

        `told` hears how far it is at every look. Raises CommandRefused with govern's reason, or ClusterFailed naming
        what is missing after `timeout_s`; the command stands then, and is taken when they run.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._look_for_refusal(deadline)
            standing = self._look(deadline)
            if standing.complete:
                return self._offset
            told(standing)
            if time.monotonic() > deadline:
                raise ClusterFailed(self._late(standing, timeout_s))
            time.sleep(LOOK_S)

    def _look(self, deadline: float) -> Progress:
        # Members before acknowledgements: who joins in between reads the policy as it is now.
        groups = {name: self._group(name) for name in self._keepers}
        for record in self._tails[ACKNOWLEDGEMENTS].fresh(deadline):
            self._said.take(record.value)
        return self._said.standing(range(self._cluster.partitions("journal")), groups)

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

    def _look_for_refusal(self, deadline: float) -> None:
        for record in self._tails[GRAVES].fresh(deadline):
            headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
            if headers.get(HEADER_TOPIC) == CONTROL and headers.get(HEADER_OFFSET) == str(self._offset):
                raise CommandRefused(f"govern refused it: {headers.get(HEADER_REASON, 'no reason is given')}")

    def _late(self, standing: Progress, timeout_s: float) -> str:
        stands = f"The command stands at offset {self._offset} of {self._settings.prefix}{CONTROL} and will be taken"
        if not self._taken():
            return f"not taken after {timeout_s:g} s: is `refrain run govern` running? {stands} when govern runs"
        return f"{standing.missing()} after {timeout_s:g} s: are they running? {stands} when they run"

    def _taken(self) -> bool:
        """Whether govern has carried the command out, or refused it."""
        return (group_position(self._admin, self._settings, "govern", CONTROL) or 0) > self._offset


class _Tail:
    """What was written to a topic since it was first looked at, or `from_start` on."""

    def __init__(self, cluster: KafkaCluster, topic: str, *, from_start: bool = False) -> None:
        self._cluster = cluster
        self._topic = topic
        self._next = {} if from_start else {number: end for number, (_, end) in cluster.ends(topic).items()}
        self._ends: Mapping[int, int] = dict(self._next)

    def fresh(self, deadline: float) -> list[Record]:
        """Committed records not seen before. A transaction that stays open is not waited for beyond `deadline`."""
        ends = {number: end for number, (_, end) in self._cluster.ends(self._topic).items()}
        records: list[Record] = []

        def late() -> bool:
            return time.monotonic() > deadline

        for number, end in ends.items():
            # A scan opens a consumer: not where nothing was written.
            if end == self._ends.get(number, 0):
                continue
            start = self._next.get(number, 0)
            found = list(self._cluster.scan(self._topic, number, start, stop=late))
            self._next[number] = found[-1].offset + 1 if found else start
            records += found
        self._ends = ends
        return records


def _send(settings: Settings, value: bytes) -> int:
    """The offset at which the command was written."""
    done: list[tuple[KafkaError | None, int]] = []

    def reported(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        done.append((error, -1 if offset is None else offset))

    producer = create_client(Producer, {**client(settings), "enable.idempotence": True, "acks": "all"})
    try:
        producer.produce(settings.prefix + CONTROL, value, on_delivery=reported)
        producer.flush(SEND_S)
    except KafkaException as problem:
        raise forbidden(problem.args[0], "sending the command") or SendFailed(
            f"the command cannot be sent: {problem.args[0].str()}"
        ) from problem
    if not done:
        raise SendFailed(f"the command was not acknowledged within {SEND_S:g} s: it may still be carried out")
    error, offset = done[0]
    if error is not None:
        raise forbidden(error, f"sending the command to {settings.prefix}{CONTROL}") or SendFailed(
            f"{settings.prefix}{CONTROL} refused the command: {error.str()}"
        )
    return offset
