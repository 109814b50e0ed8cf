"""The connector's worker: `forwards` in, `completions` and `load` out.

Three threads, so that none waits for another: this one polls, commits offsets and reports load; `Calls` calls the
model; `Outbox` produces. A forward counts as done when its completion is acknowledged, and only then.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from refrain.schemas.forwards import Forward
from refrain.streams.errors import RefusalCode
from refrain.streams.every import Every
from refrain.streams.kafka.interface import Outgoing, Record
from refrain.streams.lru import RecentIds
from refrain.streams.messaging.decoding import check_size, read
from refrain.streams.messaging.quarantine import quarantined, refusal_of_quarantined
from refrain.streams.messaging.sending import fitting_producer
from refrain.streams.runtime.barrier import Barrier
from refrain.streams.runtime.context import WorkerContext
from refrain.streams.runtime.topic_check import require_topics
from refrain.streams.traces.context import carried
from refrain.streams.upstream.awaited_topic import AwaitsTopic
from refrain.streams.upstream.call_handling import CallHandling, Receipt
from refrain.streams.upstream.call_ids import call_id
from refrain.streams.upstream.calls import CallResult, Calls
from refrain.streams.upstream.completions import SOURCE, TARGET, read_completed, reject_forward, tell_of
from refrain.streams.upstream.failures import FailureLog, failure_of
from refrain.streams.upstream.in_hand import InHand
from refrain.streams.upstream.load_meter import LoadMeter, to_topic
from refrain.streams.upstream.loading import model_of
from refrain.streams.upstream.metrics import NAME, UpstreamMetrics
from refrain.streams.upstream.model import Model
from refrain.streams.upstream.offset_tracker import SPAN_MAX, OffsetTracker
from refrain.streams.upstream.open_forwards import OpenForward, OpenForwards, Throttle
from refrain.streams.upstream.outbox import Outbox

POLL_S = 0.05
"""How long to wait for a record while a call is under way: its completion is settled by the next turn."""
IDLE_POLL_S = 0.2
LOOK_S = 2.0
"""How often it is looked whether the topic of the answers is still the same."""
PROGRESS_TIMEOUT_MS = 5_000
"""A piece of an answer that the broker has not taken by then is not sent any more."""


class Bounds(NamedTuple):
    """Limits of a worker: how many forwards it holds, and how long it waits for them."""

    batch: int = 500
    """Forwards of one poll."""
    open: int = 2_000
    """Forwards queued or under way; more stay in the topic until half of them are done."""
    span: int = SPAN_MAX
    """Offsets from a partition's oldest open forward to its newest; `SPAN_MAX` at most."""
    drain_s: float = 5.0
    """How long open calls are waited for when the worker stops."""
    revoke_wait_s: float = 2.0
    """How long open calls are waited for when their partition moves to another worker."""


BOUNDS = Bounds()


def run_upstream(
    context: WorkerContext, make_model: Callable[[], Model] | None = None, bounds: Bounds = BOUNDS
) -> None:
    """Run until `stop`, then drain: wait for open calls, produce, commit and leave the group.

    `make_model` is called in the loop that calls the model; without it the connector of the settings is made. Raises
    WrongSetup for settings or topics that are not as needed, ClusterFailed when the broker fails.
    """
    require_topics(context.cluster, NAME)
    worker = UpstreamWorker(context, make_model, bounds)
    try:
        while not context.stop():
            worker.turn()
            if worker.joined:
                context.ready()
        worker.drain()
    finally:
        worker.close()


class UpstreamWorker:
    """The connector, and its consumer's rebalance listener. All but what `Calls` calls runs on one thread."""

    def __init__(self, context: WorkerContext, make_model: Callable[[], Model] | None, bounds: Bounds) -> None:
        self._settings = context.settings.upstream
        self._cluster = context.cluster
        self._metrics = UpstreamMetrics(context.metrics)
        self._barrier = Barrier(
            NAME, context.metrics, lambda record, refusal: reject_forward(record, refusal, context.metrics)
        )
        self._now_ms = context.now_ms
        self._traces = context.traces
        self._in_hand = InHand(context.progress)
        self._bounds = bounds
        self._newly_assigned: set[int] = set()
        self._draining = False
        self._open = OpenForwards()
        self._answered = RecentIds()
        self._meter = LoadMeter(self._settings.replica)
        self._failures = FailureLog()
        self._committing = Every(self._settings.commit_interval_ms / 1_000)
        self._reporting = Every(self._settings.load_interval_ms / 1_000)
        self._looking = Every(LOOK_S)
        self.joined = False
        awaiting = self._awaiting = AwaitsTopic(self._cluster.producer(), TARGET, self._cluster, context.outages)
        producer = fitting_producer(awaiting, self._cluster, context.settings.prefix, NAME, context.metrics)
        self._outbox: Outbox[Receipt] = Outbox(producer, self._in_hand.sent)
        self._pieces = self._cluster.poster(delivery_timeout_ms=PROGRESS_TIMEOUT_MS)
        self._handling = handling = CallHandling(
            self._open, self._outbox, self._pieces, self._in_hand.called, self._traces, self._metrics
        )
        self._calls = Calls(
            make_model or model_of(context.settings, context.now_ms, handling.relay),
            self._settings.concurrency,
            handling.wanted,
            handling.finished,
            self._now_ms,
            handling.step_by_step,
        )
        self._consumer = self._cluster.consumer(SOURCE, NAME, self)
        self._offsets = OffsetTracker(self._consumer)
        self._throttle = Throttle(self._consumer, self._offsets, bounds.open, bounds.span)

    # --- the main loop

    def turn(self) -> None:
        """Poll a batch, settle what is acknowledged, commit offsets and report load when due."""
        batch = self._consumer.poll(self._bounds.batch, POLL_S if self._open else IDLE_POLL_S)
        self._start_partitions()
        owned = set(self._consumer.assignment())
        # A rebalance within the poll may have taken the partitions of its first records.
        mine = [record for record in batch if record.partition in owned]
        if mine:
            self._in_hand.follow(owned)
        for run in self._in_hand.polled.runs(mine):
            with self._in_hand.polled.in_hand(run):
                for record in run:
                    self._take(record)
        self._settle()
        self._failures.warn()
        self._check()
        self._pieces.poll()
        self._throttle.turn(len(self._open))
        if self._committing.is_due():
            self._offsets.commit(self._offsets.partitions)
            for partition, behind in self._consumer.lag().items():
                self._metrics.shared.lag.labels(NAME, str(partition)).set(behind)
        if self._reporting.is_due():
            self._report_load()
        if self._looking.is_due():
            self._outbox.put(self._awaiting.lost)

    def drain(self) -> None:
        """Wait for the calls under way, at most `drain_s`, and commit the offsets. No new call starts."""
        self._draining = True
        self._handling.start_no_more()
        self._await_started(None, self._bounds.drain_s)
        self._check()
        self._offsets.commit(self._offsets.partitions)

    def close(self) -> None:
        """Leave the group and end both threads."""
        try:
            self._consumer.close()
        finally:
            self._calls.close()
            self._outbox.close()
            self._pieces.close()

    # --- the rebalance listener

    def assigned(self, partitions: Sequence[int]) -> None:
        self.joined = True
        self._newly_assigned.update(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Wait shortly for the calls under way, commit the offsets, forget the rest."""
        moving = set(partitions)
        self._open.forget(moving, only_queued=True)
        if not self._draining:
            self._await_started(moving, self._bounds.revoke_wait_s)
        self._offsets.commit(moving)
        self._forget(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)

    # --- forwards in

    def _start_partitions(self) -> None:
        """Start on newly assigned partitions; what earlier workers completed of them is not called again."""
        if not self._newly_assigned:
            return
        self._offsets.load(self._newly_assigned)
        for id_ in read_completed(self._cluster, sorted(self._newly_assigned)):
            self._answered.add(id_)
        self._newly_assigned.clear()

    def _take(self, record: Record) -> None:
        shared = self._metrics.shared
        shared.taken.labels(NAME, record.topic).inc()
        source = (record.partition, record.offset)
        if not self._offsets.take(*source):
            return
        if self._in_hand.is_set_aside(record):
            shared.refused.labels(NAME, RefusalCode.QUARANTINED.value).inc()
            told = self._told(record)
            self._outbox.put(lambda: [quarantined(record, NAME), *told], source, source)
            return
        try:
            check_size(record)
            forward = read(record.value, Forward.decode)
            id_ = call_id(forward.forward_id, forward.route)
        except Exception as error:  # noqa: BLE001 - the barrier: what is no record's fault is raised again
            out = list(self._barrier.outcome_of(record, error))
            self._outbox.put(lambda: out, source, source)
            return
        under_way = self._open.get(id_)
        if under_way is not None:
            under_way.sources.append(source)
            shared.dropped.labels(NAME, "seen").inc()
        elif id_ in self._answered:
            self._offsets.done([source])
            shared.dropped.labels(NAME, "seen").inc()
        else:
            context = carried(record.headers) if self._traces.on else ()
            self._open[id_] = OpenForward(forward.model, [source], context=context)
            self._calls.start(id_, forward)

    def _told(self, record: Record) -> list[Outgoing]:
        """The failed completion of a forward that has ended its worker twice, if it may be read for that."""
        with self._in_hand.polled.telling(record) as may_be_read:
            return tell_of(record, refusal_of_quarantined()) if may_be_read else []

    # --- completions acknowledged

    def _settle(self) -> None:
        for receipt in self._outbox.receipts():
            if isinstance(receipt, CallResult):
                self._done(receipt)
            else:
                self._offsets.done([receipt])
        self._metrics.open_calls.set(len(self._open))

    def _check(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise problem

    def _problem(self) -> Exception | None:
        return self._outbox.problem or self._calls.problem

    def _done(self, called: CallResult) -> None:
        self._metrics.count(called)
        if called.called:
            failure = failure_of(called.answer)
            self._meter.add(called.forward.model, called.latency_ms, self._now_ms(), failure)
            self._failures.add(called.forward.model, failure)
        self._answered.add(called.id)
        under_way = self._open.pop(called.id, None)
        if under_way is not None:
            self._offsets.done(under_way.sources)

    def _await_started(self, partitions: Collection[int] | None, wait_s: float) -> None:
        """Wait for the calls under way for forwards of these partitions (None: of any)."""
        until = time.monotonic() + wait_s
        self._settle()
        while self._problem() is None and self._open.any_started(partitions):
            if time.monotonic() >= until:
                return
            time.sleep(0.005)
            self._settle()

    def _forget(self, partitions: Sequence[int]) -> None:
        self._offsets.forget(partitions)
        self._in_hand.forget(partitions)
        self._newly_assigned.difference_update(partitions)
        self._throttle.forget(partitions)
        self._open.forget(partitions)

    # --- load

    def _report_load(self) -> None:
        samples = self._meter.samples(self._open.depths(), self._now_ms())
        if samples:
            self._outbox.put(lambda: [to_topic(sample) for sample in samples])
