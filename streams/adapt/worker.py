"""adapt: turns the connectors' samples of `load` into commands that tell the shards how loaded each model is.

Runs on Faust: windowed, driven by a timer, and its only output is one idempotent record. `load_window` and
`LoadController` decide; the rest is the Faust app around them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka.errors import KafkaError
from prometheus_client import Gauge

from refrain.schemas.control import ReportLoad
from refrain.schemas.load import LoadSample
from refrain.schemas.policy import ModelPolicy
from refrain.streams.adapt.event_loop import run_alone
from refrain.streams.adapt.faust_app import faust_app, is_member
from refrain.streams.adapt.lenient_records import UNREADABLE, Flaw
from refrain.streams.adapt.load_window import LoadReports, LoadWindow, load_of
from refrain.streams.errors import ClusterFailed, RefrainError, Refusal, RefusalCode, Unanswered, WrongSetup
from refrain.streams.kafka.incarnation import TopicMadeAnew
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.kafka.outages import Waiting, asked_once, pauses
from refrain.streams.messaging.dead_letters import dead_letter
from refrain.streams.messaging.decoding import read
from refrain.streams.messaging.quarantine import quarantined
from refrain.streams.messaging.validation import without_quotes
from refrain.streams.metrics import Metrics
from refrain.streams.runtime.barrier import Barrier
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.policy_follower import PolicyWatch, keeping_last
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.settings import Adapt, Settings

logger = logging.getLogger(__name__)

NAME = "adapt"
SOURCE = "load"
STOP_CHECK_S = 0.05
SAMPLE_BYTES_MAX = 10_000
LETTER_BYTES_MAX = 500_000
"""The largest dead letter: aiokafka's producer takes less than the others."""
STOP_S = 10.0
"""How long an app may take to stop, and its tasks to end after it."""
MEMBERLESS_S = 75.0
"""How long an app may be no member of its group: longer than a rebalance takes."""
FAILURES_MAX = 5
"""Apps in a row that fail without ever having been assigned partitions, though the cluster answers."""
FAILING_S = 180.0
"""How long they fail until the process ends: what is wrong may be of this process."""
CLUSTER_ERRORS = (KafkaError, ConnectionError)


class SourceChanged(Exception):
    """The topic that an app reads is another one by now, or has more partitions: a new app reads it. No outage."""


class AdaptMetrics:
    """The metrics of this processor, on the registry of those that all workers have (`shared`)."""

    def __init__(self, shared: Metrics) -> None:
        self.shared = shared
        self.load = Gauge("refrain_model_load", "Smoothed load of a model", ["model"], registry=shared.registry)


class LoadController:
    """Turns samples of load into commands, by the window of samples and what was reported last."""

    def __init__(self, settings: Adapt, metrics: AdaptMetrics) -> None:
        self._window = LoadWindow(settings.window_ms)
        self._reports = LoadReports(settings.step_min, settings.valid_for_ms, settings.interval_ms)
        self._metrics = metrics
        self._targets: Mapping[str, ModelPolicy] | None = None

    def set_targets(self, targets: Mapping[str, ModelPolicy] | None) -> None:
        """Set the load targets of the policy in force; None while no policy is known."""
        self._targets = targets

    def take(self, record: Record, now_ms: int) -> Outgoing | None:
        """Take a sample; returns the dead letter of one that cannot be decoded, and counts one that is dropped."""
        self._metrics.shared.taken.labels(NAME, SOURCE).inc()
        try:
            sample = read(record.value, LoadSample.decode, bytes_max=SAMPLE_BYTES_MAX)
        except Refusal as refusal:
            self._metrics.shared.refused.labels(NAME, refusal.code.value).inc()
            return dead_letter(record, refusal, NAME, bytes_max=LETTER_BYTES_MAX)
        if self._targets is not None and sample.model not in self._targets:
            dropped: str | None = "no_targets"
        else:
            dropped = self._window.add(sample, now_ms)
        if dropped is not None:
            self._metrics.shared.dropped.labels(NAME, dropped).inc()
        return None

    def commands(self, now_ms: int) -> list[Outgoing]:
        """The commands that report loads, as far as they are due."""
        targets = self._targets or {}
        smoothed = self._window.smoothed(now_ms)
        loads = {model: load_of(mean, targets[model]) for model, mean in smoothed.items() if model in targets}
        for model in targets:
            self._metrics.load.labels(model).set(loads.get(model, 0.0))
        return [
            Outgoing(
                "control",
                None,
                ReportLoad(
                    who=NAME,
                    why="smoothed over the window",
                    model=report.model,
                    load=report.load,
                    valid_until_ms=report.valid_until_ms,
                ).encode(),
                partition=0,
            )
            for report in self._reports.due(loads, now_ms)
        ]


SOURCE_LOOK_S = 20.0
"""How often it is looked whether the topic that is read is still the same."""
MakeApp = Callable[[Settings, str], Any]
IsMember = Callable[[Any], bool]


def run_adapt(context: WorkerContext, make_app: MakeApp = faust_app, is_member: IsMember = is_member) -> None:
    """Run until `stop`. The cluster must be that of the settings: the app that `make_app` makes connects by itself.

    An app that the cluster fails, or that is no member of its group any more (`is_member`), is followed by a new one.
    Raises WrongSetup for missing topics or a connection that Faust cannot make, ClusterFailed when one app after
    another fails though the cluster answers.
    """
    require_topics(context.cluster, NAME)
    controller = LoadController(context.settings.adapt, AdaptMetrics(context.metrics))
    watch = PolicyWatch(asked_once(context.cluster), keeping_last(context.metrics, NAME))
    with context.outages.waiting(f"the app of {NAME}") as wait:
        term = _Term(context, make_app, is_member, controller, watch, wait)
        pause = pauses()
        while not context.stop():
            try:
                run_alone(term.serve(), end_s=STOP_S)
                return
            except (SourceChanged, TopicMadeAnew):
                logger.warning("topic %s was made anew, or has more partitions: a new app reads it", SOURCE)
                continue
            except ClusterFailed as problem:
                wait.failed(problem)
                term.check_failures(problem)
            context.outages.pause(next(pause))
            # Before a new app is made, somebody must be there to take it.
            context.cluster.partitions(SOURCE)


class _Term:
    """Runs one app after another, on what the controller has seen so far."""

    def __init__(
        self,
        context: WorkerContext,
        make_app: MakeApp,
        is_member: IsMember,
        controller: LoadController,
        watch: PolicyWatch,
        wait: Waiting,
    ) -> None:
        self._context = context
        self._make_app = make_app
        self._is_member = is_member
        self._controller = controller
        self._watch = watch
        self._wait = wait
        self._failures = 0
        """Apps that failed since the last one that was assigned partitions."""
        self._failing_since_s = 0.0

    def check_failures(self, problem: ClusterFailed) -> None:
        """Count an app that failed. Raises what it failed of when too many did for too long."""
        now_s = self._context.outages.clock()
        self._failing_since_s = self._failing_since_s if self._failures else now_s
        self._failures += 1
        if self._failures >= FAILURES_MAX and now_s - self._failing_since_s >= FAILING_S:
            raise problem

    async def serve(self) -> None:
        """Run an app until `stop`. Raises ClusterFailed when the cluster fails it, and what else it crashed of."""
        context = self._context
        settings, controller, now_ms = context.settings, self._controller, context.now_ms
        barrier = Barrier(NAME, context.metrics)
        progress = context.progress(NAME, SOURCE)
        app = self._make_app(settings, NAME)
        topics = {name: _topic(app, settings, name) for name in (SOURCE, "control", "dead-letters")}

        async def send(record: Outgoing) -> None:
            headers = [(name, value or b"") for name, value in record.headers]
            # aiokafka takes no record that has neither key nor value.
            value = b"" if record.key is None and record.value is None else record.value
            sent = await topics[record.topic].send(
                key=record.key, value=value, partition=record.partition, headers=headers
            )
            await sent
            context.metrics.sent.labels(NAME, record.topic).inc()

        def taken(record: Record) -> list[Outgoing]:
            letter = controller.take(record, now_ms())
            return [] if letter is None else [letter]

        async def take(samples: Any) -> None:
            async for event in samples.events():
                for letter in out_of(_record(event.message)):
                    await send(letter)

        def out_of(record: Record) -> Sequence[Outgoing]:
            if not progress.has(record.partition):
                # Faust owns the consumer: that a partition is ours is seen by its first record.
                progress.assigned([record.partition])
            if progress.is_set_aside(record):
                context.metrics.refused.labels(NAME, RefusalCode.QUARANTINED.value).inc()
                return [quarantined(record, NAME)]
            with progress.in_hand([record]):
                return barrier.take(record, taken)

        async def report() -> None:
            try:
                policy = await asyncio.get_running_loop().run_in_executor(None, self._watch.latest)
            except Unanswered:
                # The next look tells; loads that were reported run out by themselves.
                return
            controller.set_targets(None if policy is None else policy.policy.models)
            for command in controller.commands(now_ms()):
                await send(command)

        async def assigned(*_: Any, **__: Any) -> None:
            self._failures = 0
            self._wait.answered()
            context.ready()

        app.agent(topics[SOURCE], name=NAME)(take)
        app.timer(settings.adapt.interval_ms / 1_000, name="report")(report)
        app.on_partitions_assigned.connect(assigned, weak=False)
        try:
            await self._run(app)
        finally:
            progress.close()

    async def _run(self, app: Any) -> None:
        """Run the app until `stop`. Faust's own worker would take over signals and logging."""
        try:
            await app.start()
            await self._until_it_ends(app)
        except CLUSTER_ERRORS as problem:
            raise ClusterFailed(f"Faust cannot reach the cluster ({problem}): check that it is up") from problem
        finally:
            await _stopped(app)
        crash = app.crash_reason
        if isinstance(crash, RefrainError):
            raise crash
        if crash is not None:
            # Not what it says: that may quote a record.
            raise ClusterFailed(f"Faust stopped ({without_quotes(crash)}): start this worker again") from crash

    async def _until_it_ends(self, app: Any) -> None:
        """Until the worker is to stop or the app does.

        Raises ClusterFailed when it is no member of its group, SourceChanged when its topic is another one by now.
        """
        clock = self._context.outages.clock
        member_s = looked_s = clock()
        read = await self._source()
        while not self._context.stop() and not app.should_stop and app.crash_reason is None:
            await asyncio.sleep(STOP_CHECK_S)
            if self._is_member(app):
                member_s = clock()
            elif clock() - member_s > MEMBERLESS_S:
                raise ClusterFailed(f"{NAME} has not been a member of its group for {MEMBERLESS_S:.0f} s")
            if clock() - looked_s > SOURCE_LOOK_S:
                looked_s, found = clock(), await self._source()
                if read is not None and found is not None and found != read:
                    raise SourceChanged
                read = read or found

    async def _source(self) -> tuple[str, int] | None:
        """The id of the topic that is read, and its partitions; None where nobody tells them, or it is not there.

        A member whose topic was gone for a moment is given no partition of the new one.
        """
        cluster = asked_once(self._context.cluster)
        try:
            return await asyncio.get_running_loop().run_in_executor(
                None, lambda: (cluster.topic_id(SOURCE), cluster.partitions(SOURCE))
            )
        except (ClusterFailed, WrongSetup):
            return None


async def _stopped(app: Any) -> None:
    """Stop the app; one that does not is left behind."""
    try:
        await asyncio.wait_for(app.stop(), STOP_S)
    except TimeoutError:
        logger.warning("Faust did not stop within %.0f s: it is left behind", STOP_S)
    except CLUSTER_ERRORS as problem:
        logger.debug("Faust did not stop in order: %s", problem)


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
