"""Fake Faust app on a cluster in memory: an agent on a topic, a timer, and topics to send to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from refrain.streams.kafka.interface import Cluster, Headers, Outgoing, Record

BATCH = 100


class App:
    """App that connects as Faust does to a broker: `name` is its group, and topics have their whole names."""

    def __init__(self, cluster: Cluster, prefix: str, name: str) -> None:
        self.cluster = cluster
        self.group = name.removeprefix(prefix)
        self.should_stop = False
        self.crash_reason: BaseException | None = None
        self.on_partitions_assigned = SimpleNamespace(connect=self._connect)
        self._prefix = prefix
        self._assigned: list[Callable[[], Awaitable[None]]] = []
        self._work: list[Callable[[], Awaitable[None]]] = []
        self._tasks: list[asyncio.Task[None]] = []

    def topic(self, name: str, **_: Any) -> Channel:
        return Channel(self, name.removeprefix(self._prefix))

    def agent(self, channel: Channel, *, name: str) -> Callable[[Callable[[Channel], Awaitable[None]]], None]:
        return lambda take: self._work.append(lambda: take(channel))

    def timer(self, interval_s: float, *, name: str) -> Callable[[Callable[[], Awaitable[None]]], None]:
        async def repeat(work: Callable[[], Awaitable[None]]) -> None:
            while True:
                await asyncio.sleep(interval_s)
                await work()

        return lambda work: self._work.append(lambda: repeat(work))

    async def start(self) -> None:
        for told in self._assigned:
            await told()
        self._tasks = [asyncio.create_task(self._guarded(work)) for work in self._work]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connect(self, told: Callable[[], Awaitable[None]], *, weak: bool) -> None:
        self._assigned.append(told)

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception as problem:  # noqa: BLE001 - an app keeps what it crashed of, whatever it is
            self.crash_reason, self.should_stop = problem, True


class Channel:
    """A topic of the app."""

    def __init__(self, app: App, name: str) -> None:
        self._app = app
        self._name = name

    async def send(
        self, *, key: bytes | None, value: bytes | None, partition: int | None, headers: list[tuple[str, bytes]]
    ) -> Awaitable[None]:
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        kept: Headers = tuple(headers)
        self._app.cluster.producer().send([Outgoing(self._name, key, value, kept, partition)])
        sent.set_result(None)
        return sent

    async def events(self) -> AsyncIterator[SimpleNamespace]:
        consumer = self._app.cluster.consumer(self._name, self._app.group)
        while True:
            for record in consumer.poll(BATCH, 0.0):
                yield SimpleNamespace(message=_message(record))
            await asyncio.sleep(0.001)


def _message(record: Record) -> SimpleNamespace:
    return SimpleNamespace(
        partition=record.partition,
        offset=record.offset,
        timestamp=record.timestamp_ms / 1_000,
        key=record.key,
        value=record.value,
        headers=list(record.headers),
    )
