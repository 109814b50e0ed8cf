"""Sends many commands at once and waits until the shards that they go to have folded them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from refrain.ops.cluster.new_records import NewRecords
from refrain.ops.control.client import ACKNOWLEDGEMENTS, DEAD_LETTERS, SEND_S, control_producer
from refrain.ops.control.refused import CONTROL
from refrain.schemas.acknowledgements import Acknowledgement
from refrain.schemas.control import Given
from refrain.schemas.dead_letters import HEADER_OFFSET, HEADER_REASON, HEADER_TOPIC
from refrain.streams.errors import ClusterFailed, SendFailed
from refrain.streams.kafka.faults import forbidden

if TYPE_CHECKING:
    from refrain.streams.kafka.cluster import KafkaCluster
    from refrain.streams.settings import Settings

POLL_S = 0.1
SHARD = "lookup"


class ManyCommands:
    """Sends commands, each to the one shard that `shard_of` names, and follows what comes of them."""

    def __init__(self, settings: Settings, cluster: KafkaCluster) -> None:
        self._settings = settings
        self._news = {topic: NewRecords(cluster, topic) for topic in (DEAD_LETTERS, ACKNOWLEDGEMENTS)}
        self._last: dict[int, int] = {}
        """By shard: the version of the last command to it."""
        self._versions: set[int] = set()
        self._shard_of: dict[int, int] = {}
        self._acknowledged: dict[int, int] = {}
        self._refused: dict[int, str] = {}
        self._failed: KafkaError | None = None

    def send(self, commands: Iterable[tuple[Given, int]], progress: Callable[[int], None] = lambda _: None) -> int:
        """Send commands, each with its shard; returns how many. Raises SendFailed; those sent before it stand."""
        producer = control_producer(self._settings)
        sent = 0
        for command, shard in commands:
            self._produce(producer, command.encode(), shard)
            sent += 1
            progress(sent)
        left = producer.flush(SEND_S)
        if self._failed is not None:
            raise forbidden(self._failed, "sending the commands") or SendFailed(
                f"{self._settings.prefix}{CONTROL} refused a command: {self._failed.str()}"
            )
        if left:
            raise SendFailed(f"{left} commands were not acknowledged within {SEND_S:g} s: they may be carried out")
        return sent

    def wait(self, timeout_s: float, progress: Callable[[int], None] = lambda _: None) -> dict[int, str]:
        """Wait until each is folded, or refused: of those it returns why, by version. `progress` is told how many are.

        Raises ClusterFailed when nothing has moved for `timeout_s`; the commands stand then.
        """
        until_s, known = time.monotonic() + timeout_s, -1
        while True:
            self._poll(until_s)
            done = sum(self._is_done(version) for version in self._versions)
            progress(done)
            if done == len(self._versions):
                return dict(self._refused)
            if done > known:
                known, until_s = done, time.monotonic() + timeout_s
            if time.monotonic() > until_s:
                raise ClusterFailed(
                    f"{len(self._versions) - done} of {len(self._versions)} commands are not folded, and nothing has"
                    f" moved for {timeout_s:g} s: are govern and lookup running? The commands stand in"
                    f" {self._settings.prefix}{CONTROL}, and are taken when they run"
                )
            time.sleep(POLL_S)

    def _is_done(self, version: int) -> bool:
        return version in self._refused or self._acknowledged.get(self._shard_of[version], -1) >= version

    def _poll(self, until_s: float) -> None:
        def is_late() -> bool:
            return time.monotonic() > until_s

        for record in self._news[DEAD_LETTERS].read(is_late):
            said = {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers}
            offset = said.get(HEADER_OFFSET, "")
            if said.get(HEADER_TOPIC) == CONTROL and offset.isdecimal() and int(offset) in self._versions:
                self._refused[int(offset)] = said.get(HEADER_REASON, "no reason is given")
        for record in self._news[ACKNOWLEDGEMENTS].read(is_late):
            try:
                said_of = Acknowledgement.decode(record.value or b"")
            except ValueError:
                continue
            if said_of.processor == SHARD and said_of.worker.isdecimal():
                shard = int(said_of.worker)
                self._acknowledged[shard] = max(self._acknowledged.get(shard, -1), said_of.version)

    def _produce(self, producer: Producer, value: bytes, shard: int) -> None:
        def reported(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            if error is not None:
                self._failed = self._failed or error
            elif offset is not None and offset >= 0:
                self._versions.add(offset)
                self._shard_of[offset] = shard

        while True:
            try:
                producer.produce(self._settings.prefix + CONTROL, value, on_delivery=reported)
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)
            except KafkaException as problem:
                raise forbidden(problem.args[0], "sending the commands") or SendFailed(
                    f"the commands cannot be sent: {problem.args[0].str()}"
                ) from problem
