"""What one Faust app does: it takes samples of `load`, and reports loads by a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from refrain.streams.adapt.lenient_records import UNREADABLE, Flaw
from refrain.streams.adapt.load_controller import NAME, SOURCE, LoadController
from refrain.streams.errors import RefusalCode, Unanswered
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.messaging.quarantine import quarantined
from refrain.streams.runtime.barrier import Barrier
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import PolicyWatch
from refrain.streams.settings import Settings

WRITTEN = ("control", "dead-letters")


class AppTasks:
    """The agent, the timer and the signal of an app. `assigned` is called each time it is given partitions."""

    def __init__(
        self,
        app: Any,
        context: WorkerContext,
        controller: LoadController,
        watch: PolicyWatch,
        assigned: Callable[[], None],
    ) -> None:
        self._context = context
        self._controller = controller
        self._watch = watch
        self._assigned = assigned
        self._barrier = Barrier(NAME, context.metrics)
        self._progress = context.progress(NAME, SOURCE)
        self._topics = {name: _topic(app, context.settings, name) for name in (SOURCE, *WRITTEN)}
        app.agent(self._topics[SOURCE], name=NAME)(self._take_samples)
        app.timer(context.settings.adapt.interval_ms / 1_000, name="report")(self._report)
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)

    def close(self) -> None:
        """Give back the file of the progress. The app has ended."""
        self._progress.close()

    async def _take_samples(self, samples: Any) -> None:
        async for event in samples.events():
            for letter in self._dead_letters(_record(event.message)):
                await self._send(letter)

    def _dead_letters(self, record: Record) -> Sequence[Outgoing]:
        """Take a sample behind the barrier; the dead letters that come of it."""
        if not self._progress.has(record.partition):
            # Faust owns the consumer: that a partition is ours is seen by its first record.
            self._progress.assigned([record.partition])
        if self._progress.is_set_aside(record):
            self._context.metrics.refused.labels(NAME, RefusalCode.QUARANTINED.value).inc()
            return [quarantined(record, NAME)]
        with self._progress.in_hand([record]):
            return self._barrier.take(record, self._taken)

    def _taken(self, record: Record) -> list[Outgoing]:
        letter = self._controller.take(record, self._context.now_ms())
        return [] if letter is None else [letter]

    async def _report(self) -> None:
        try:
            policy = await asyncio.get_running_loop().run_in_executor(None, self._watch.latest)
        except Unanswered:
            # The next look tells; loads that were reported run out by themselves.
            return
        self._controller.set_targets(None if policy is None else policy.policy.models)
        for command in self._controller.commands(self._context.now_ms()):
            await self._send(command)

    async def _on_assigned(self, *_: Any, **__: Any) -> None:
        self._assigned()

    async def _send(self, record: Outgoing) -> None:
        headers = [(name, value or b"") for name, value in record.headers]
        # aiokafka takes no record that has neither key nor value.
        value = b"" if record.key is None and record.value is None else record.value
        sent = await self._topics[record.topic].send(
            key=record.key, value=value, partition=record.partition, headers=headers
        )
        await sent
        self._context.metrics.sent.labels(NAME, record.topic).inc()


def _topic(app: Any, settings: Settings, name: str) -> Any:
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    return app.topic(settings.prefix + name, **raw)


def _record(message: Any) -> Record:
    headers = tuple(message.headers or ())
    unreadable = UNREADABLE in headers
    flaw = next((str(name) for name, _ in headers if isinstance(name, Flaw)), None)
    return Record(
        SOURCE,
        message.partition,
        message.offset,
        int((message.timestamp or 0) * 1_000),
        message.key,
        message.value,
        () if unreadable or flaw is not None else headers,
        unreadable,
        flaw,
    )
