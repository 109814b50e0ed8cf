"""A policy on its way: the command to `control`, and what became of it in `policies` or `dead-letters`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ops.cluster import client, made, reach
from schemas.control import PolicyInForce, SetPolicy
from schemas.dead_letters import HEADER_OFFSET, HEADER_REASON, HEADER_TOPIC
from streams.errors import LogFailed, PolicyRefused, SendFailed
from streams.in_force import PolicyWatch
from streams.kafka_log import KafkaLog

if TYPE_CHECKING:
    from schemas.policy import Policy
    from streams.log import Record
    from streams.settings import Settings

SEND_S = 15.0
LOOK_S = 0.1
CONTROL = "control"
GRAVES = "dead-letters"


class Order:
    """One change of policy, from looking at what is in force to seeing the new one there."""

    def __init__(self, settings: Settings) -> None:
        """Raises Unreachable when no broker answers."""
        reach(settings)
        self._settings = settings
        self._log = KafkaLog(settings)
        self._watch = PolicyWatch(self._log)
        self._graves: dict[int, int] = {}
        self._offset = -1

    def in_force(self) -> PolicyInForce | None:
        """The policy in force. Raises WrongSetup for a missing topic."""
        return self._watch.latest()

    def place(self, policy: Policy, before: PolicyInForce | None, who: str, why: str) -> int:
        """Send the command; returns its offset, which becomes the version. Raises SendFailed."""
        self._graves = {number: end for number, (_, end) in self._log.ends(GRAVES).items()}
        command = SetPolicy(
            who=who, why=why, policy=policy, expected_version=None if before is None else before.version
        )
        self._offset = _send(self._settings, command.encode())
        return self._offset

    def wait(self, timeout_s: float) -> int:
        """Wait until the policy is in force; returns its version. Raises PolicyRefused or LogFailed."""
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._watch.latest()
            if found is not None and found.version >= self._offset:
                return found.version
            self._look_for_refusal()
            if time.monotonic() > deadline:
                raise LogFailed(
                    f"not in force after {timeout_s:g} s: is `refrain run govern` running? The command stands at offset"
                    f" {self._offset} of {self._settings.prefix}{CONTROL} and is taken when govern runs again"
                )
            time.sleep(LOOK_S)

    def _look_for_refusal(self) -> None:
        for number, (_, end) in self._log.ends(GRAVES).items():
            start = self._graves.get(number, 0)
            if end <= start:
                continue
            for record in self._log.scan(GRAVES, number, start):
                self._graves[number] = record.offset + 1
                self._raise_if_mine(record)

    def _raise_if_mine(self, record: Record) -> None:
        headers = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
        if headers.get(HEADER_TOPIC) == CONTROL and headers.get(HEADER_OFFSET) == str(self._offset):
            raise PolicyRefused(f"govern refused the policy: {headers.get(HEADER_REASON, 'no reason is given')}")


def _send(settings: Settings, value: bytes) -> int:
    """The offset at which the command was written."""
    done: list[tuple[KafkaError | None, int]] = []

    def reported(error: KafkaError | None, message: Message) -> None:
        offset = message.offset()
        done.append((error, -1 if offset is None else offset))

    producer = made(Producer, {**client(settings), "enable.idempotence": True, "acks": "all"})
    try:
        producer.produce(settings.prefix + CONTROL, value, on_delivery=reported)
    except KafkaException as problem:
        raise SendFailed(f"the policy cannot be sent: {problem.args[0].str()}") from problem
    producer.flush(SEND_S)
    if not done:
        raise SendFailed(f"the policy was not acknowledged within {SEND_S:g} s: look at `refrain policies show`")
    error, offset = done[0]
    if error is not None:
        raise SendFailed(f"{settings.prefix}{CONTROL} refused the policy: {error.str()}")
    return offset
