"""The connector's worker: `forwards` in, `completions` and `load` out.

Three threads, so that none waits for another: this one polls, keeps positions and reports load; `Calls` asks the
model; `Outbox` sends. A forward counts as done when its completion is acknowledged, and only then.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from schemas.forwards import Forward
from schemas.responses import Problem
from streams.dead_letters import bury
from streams.errors import Rebalanced, Refusal, WrongSetup
from streams.log import Log, Outgoing, Position, Record
from streams.metrics import Metrics
from streams.reading import address_of, read
from streams.recent import Recent
from streams.routes import DirectRoute, decode_route
from streams.settings import Settings
from streams.topic_check import require_topics
from streams.upstream.calls import Called, Calls
from streams.upstream.http_model import HttpModel
from streams.upstream.load import LoadMeter, to_topic
from streams.upstream.model import Answer, Model, completion_of, encoded
from streams.upstream.offsets import SPAN_MAX, Offsets
from streams.upstream.outbox import Outbox
from streams.upstream.simulated_model import SimulatedModel

logger = logging.getLogger(__name__)

NAME = "upstream"
SOURCE = "forwards"
POLL_S = 0.05
BATCH_MAX = 500
RECALLED_MAX = 1_000
"""Completions of each partition read back at its assignment: what repeats after a crash is younger than these."""
RECALLS_AT_ONCE = 8
OPEN_MAX = 2_000
"""Forwards queued or under way; more stay in the topic until half of them are done."""
DRAIN_S = 5.0
"""How long open calls are waited for when the worker stops."""
REVOKE_WAIT_S = 2.0
"""How long open calls are waited for when their partition moves to another worker."""
MODEL_LABELS_MAX = 100
"""Clients name the models: metrics count those beyond this as `other`."""


class WorkerLimits(NamedTuple):
    """What one worker takes on at once, and how long it waits for it at its end."""

    batch_max: int = BATCH_MAX
    open_max: int = OPEN_MAX
    span_max: int = SPAN_MAX
    """Offsets from the oldest open call of a partition to the newest forward taken."""
    drain_s: float = DRAIN_S


LIMITS = WorkerLimits()


def run_upstream(
    settings: Settings,
    log: Log,
    metrics: Metrics,
    *,
    stop: Callable[[], bool],
    ready: Callable[[], None],
    now_ms: Callable[[], int],
    make_model: Callable[[], Model] | None = None,
    limits: WorkerLimits = LIMITS,
) -> None:
    """Run until `stop`, then wait for open calls, send, commit and leave.

    `make_model` is called in the loop that calls the model. Raises WrongSetup for settings or topics that are not
    as needed, LogFailed when the broker fails.
    """
    require_topics(log, NAME)
    worker = Worker(settings, log, metrics, make_model or model_of(settings, now_ms), now_ms, limits)
    try:
        while not stop():
            worker.turn()
            if worker.joined:
                ready()
        worker.drain()
    finally:
        worker.close()


def model_of(settings: Settings, now_ms: Callable[[], int]) -> Callable[[], Model]:
    """The connector that the settings name. Raises WrongSetup."""
    chosen = settings.upstream
    if chosen.connector == "simulated":
        return lambda: SimulatedModel(chosen)
    if chosen.base_url is None:
        raise WrongSetup(
            "upstream.base_url is not set: name an OpenAI-compatible server (such as http://127.0.0.1:8000/v1),"
            " or set upstream.connector to simulated"
        )
    return lambda: HttpModel(chosen, now_ms)


@dataclass
class _Open:
    """A forward on its way, and every place it was read from."""

    model: str
    places: list[tuple[int, int]]
    started: bool = False
    """Whether its call is under way: it waits in the queue otherwise."""


class Worker:
    """The state of the connector. It is the reader's listener; all but `_wanted` and `_finished` run in one thread."""

    def __init__(
        self,
        settings: Settings,
        log: Log,
        metrics: Metrics,
        make_model: Callable[[], Model],
        now_ms: Callable[[], int],
        limits: WorkerLimits = LIMITS,
    ) -> None:
        self._settings = settings.upstream
        self._limits = limits
        self._log = log
        self._metrics = metrics
        self._now_ms = now_ms
        self._offsets: dict[int, Offsets] = {}
        self._fresh: set[int] = set()
        self._kept: dict[int, Position] = {}
        self._paused: set[int] = set()
        self._full = False
        self._draining = False
        self._open: dict[str, _Open] = {}
        self._answered = Recent()
        self._meter = LoadMeter(settings.upstream.replica)
        self._labels: set[str] = set()
        self._commit_due = self._load_due = time.monotonic()
        self.joined = False
        self._outbox: Outbox[Called | tuple[int, int]] = Outbox(log.writer())
        self._calls = Calls(make_model, settings.upstream.concurrency, self._wanted, self._finished, now_ms)
        self._reader = log.reader(SOURCE, NAME, self)

    # --- the turn

    def turn(self) -> None:
        """Take what waits, count what is acknowledged, keep positions and report load when due."""
        batch = self._reader.poll(self._limits.batch_max, POLL_S)
        self._open_partitions()
        owned = set(self._reader.assignment())
        for record in batch:
            # A rebalance within the poll may have taken the partitions of its first records.
            if record.partition in owned:
                self._take(record)
        self._settle()
        self._check()
        self._throttle()
        if time.monotonic() >= self._commit_due:
            self._commit_due = time.monotonic() + self._settings.commit_interval_ms / 1_000
            self._commit(self._offsets)
            for partition, behind in self._reader.lag().items():
                self._metrics.lag.labels(NAME, str(partition)).set(behind)
        if time.monotonic() >= self._load_due:
            self._load_due = time.monotonic() + self._settings.load_interval_ms / 1_000
            self._report_load()

    def drain(self) -> None:
        """Wait for the calls under way, at most `drain_s`, and keep the positions. No new call starts."""
        self._draining = True
        self._await_started(lambda one: True, self._limits.drain_s)
        self._check()
        self._commit(self._offsets)

    def close(self) -> None:
        """Leave the group and end both threads."""
        try:
            self._reader.close()
        finally:
            self._calls.close()
            self._outbox.close()

    # --- the reader's listener

    def assigned(self, partitions: Sequence[int]) -> None:
        self.joined = True
        self._fresh.update(partitions)

    def revoked(self, partitions: Sequence[int]) -> None:
        """Finish what is under way if that is quick, keep the positions, forget the rest."""
        moving = set(partitions)
        self._forget_open(moving, only_queued=True)
        if not self._draining:
            self._await_started(lambda one: any(place[0] in moving for place in one.places), REVOKE_WAIT_S)
        self._commit({partition: one for partition, one in self._offsets.items() if partition in moving})
        self._forget(partitions)

    def lost(self, partitions: Sequence[int]) -> None:
        self._forget(partitions)

    # --- taking

    def _open_partitions(self) -> None:
        if not self._fresh:
            return
        kept = self._reader.committed(sorted(self._fresh))
        for partition in self._fresh:
            if partition in kept:
                self._offsets[partition] = Offsets(kept[partition])
                self._kept[partition] = kept[partition]
        self._recall(sorted(self._fresh))
        self._fresh.clear()

    def _recall(self, partitions: Sequence[int]) -> None:
        """Learn what earlier workers completed: a shard that crashed repeats its forwards, which are not to be called.

        A forward and its completion have one key; with other numbers of partitions they lie apart, and calls repeat.
        """
        ends = self._log.ends("completions")
        if len(ends) != self._log.partitions(SOURCE):
            return

        def read_back(partition: int) -> list[str]:
            first, end = ends[partition]
            scanned = self._log.scan("completions", partition, max(first, end - RECALLED_MAX))
            return [record.key.decode("utf-8", "replace") for record in scanned if record.key is not None]

        with ThreadPoolExecutor(RECALLS_AT_ONCE) as pool:
            for forward_ids in pool.map(read_back, partitions):
                for forward_id in forward_ids:
                    self._answered.add(forward_id)

    def _take(self, record: Record) -> None:
        offsets = self._offsets.get(record.partition)
        if offsets is None:
            offsets = self._offsets[record.partition] = Offsets(Position(record.offset))
        self._metrics.taken.labels(NAME, record.topic).inc()
        place = (record.partition, record.offset)
        if not offsets.take(record.offset):
            return
        try:
            forward = read(record.value, Forward.decode)
        except Refusal as refusal:
            out = self._refuse(record, refusal)
            self._outbox.put(lambda: out, place)
            return
        under_way = self._open.get(forward.forward_id)
        if under_way is not None:
            under_way.places.append(place)
            self._metrics.dropped.labels(NAME, "seen").inc()
        elif forward.forward_id in self._answered:
            offsets.done(record.offset)
            self._metrics.dropped.labels(NAME, "seen").inc()
        else:
            self._open[forward.forward_id] = _Open(forward.model, [place])
            self._calls.start(forward)

    def _refuse(self, record: Record, refusal: Refusal) -> list[Outgoing]:
        """A dead letter, and a failed completion when it can be seen who waits for it."""
        logger.warning("%s[%d]@%d: %s", record.topic, record.partition, record.offset, refusal)
        self._metrics.refused.labels(NAME, refusal.code.value).inc()
        address = address_of(record.value)
        if address is None:
            return [bury(record, refusal, NAME)]
        answer = Answer(problem=Problem(code=refusal.code.value, message=str(refusal.args[0])))
        completion = completion_of(address.forward_id, address.route, answer, 0)
        told = Outgoing("completions", address.forward_id.encode(), encoded(completion))
        return [bury(record, refusal, NAME, with_text=not _is_direct(address.route, address.forward_id)), told]

    # --- in the loop that calls the model

    def _wanted(self, forward_id: str) -> bool:
        under_way = self._open.get(forward_id)
        if under_way is None or self._draining:
            return False
        under_way.started = True
        return True

    def _finished(self, called: Called) -> None:
        self._outbox.put(lambda: [_completion(called)], called)

    # --- what is done

    def _settle(self) -> None:
        for receipt in self._outbox.receipts():
            if isinstance(receipt, Called):
                self._done(receipt)
            else:
                self._done_places([receipt])
        self._metrics.open_calls.set(len(self._open))

    def _check(self) -> None:
        problem = self._problem()
        if problem is not None:
            raise problem

    def _problem(self) -> Exception | None:
        return self._outbox.problem or self._calls.problem

    def _done(self, called: Called) -> None:
        self._count(called)
        self._answered.add(called.forward.forward_id)
        under_way = self._open.pop(called.forward.forward_id, None)
        if under_way is not None:
            self._done_places(under_way.places)

    def _done_places(self, places: Iterable[tuple[int, int]]) -> None:
        for partition, offset in places:
            if partition in self._offsets:
                self._offsets[partition].done(offset)

    def _count(self, called: Called) -> None:
        self._metrics.sent.labels(NAME, "completions").inc()
        if not called.called:
            self._metrics.dropped.labels(NAME, "deadline").inc()
            return
        model = self._label(called.forward.model)
        self._metrics.calls.labels(model, "ok" if called.answer.body is not None else "failed").inc()
        self._metrics.call_seconds.labels(model).observe(called.latency_ms / 1_000)
        self._meter.called(called.forward.model, called.latency_ms, self._now_ms())

    def _label(self, model: str) -> str:
        if model not in self._labels:
            if len(self._labels) >= MODEL_LABELS_MAX:
                return "other"
            self._labels.add(model)
        return model

    def _await_started(self, concerns: Callable[[_Open], bool], wait_s: float) -> None:
        until = time.monotonic() + wait_s
        self._settle()
        while self._problem() is None and any(one.started and concerns(one) for one in self._open.values()):
            if time.monotonic() >= until:
                return
            time.sleep(0.005)
            self._settle()

    # --- positions

    def _commit(self, offsets: dict[int, Offsets]) -> None:
        positions = {partition: one.position() for partition, one in offsets.items()}
        moved = {partition: place for partition, place in positions.items() if self._kept.get(partition) != place}
        if not moved:
            return
        try:
            self._reader.commit(moved)
        except Rebalanced as rebalance:
            logger.info("positions kept for later: %s", rebalance)
            return
        self._kept.update(moved)

    def _forget(self, partitions: Sequence[int]) -> None:
        for partition in partitions:
            self._offsets.pop(partition, None)
            self._kept.pop(partition, None)
        self._fresh.difference_update(partitions)
        self._paused.difference_update(partitions)
        self._forget_open(set(partitions), only_queued=False)

    def _forget_open(self, gone: set[int], *, only_queued: bool) -> None:
        for forward_id, one in list(self._open.items()):
            if only_queued and one.started:
                continue
            one.places = [place for place in one.places if place[0] not in gone]
            if not one.places:
                del self._open[forward_id]

    def _throttle(self) -> None:
        """Leave forwards in the topic while too many are open, or one old call holds a partition's position."""
        if self._full:
            self._full = len(self._open) > self._limits.open_max // 2
        else:
            self._full = len(self._open) >= self._limits.open_max
        span_max = self._limits.span_max
        wanted = {
            partition
            for partition, one in self._offsets.items()
            if self._full or one.span >= (span_max // 2 if partition in self._paused else span_max)
        }
        if wanted - self._paused:
            self._reader.pause(sorted(wanted - self._paused))
        if self._paused - wanted:
            self._reader.resume(sorted(self._paused - wanted))
        self._paused = wanted

    # --- load

    def _report_load(self) -> None:
        depths = Counter(one.model for one in self._open.values())
        samples = self._meter.samples(depths, self._now_ms())
        if samples:
            self._outbox.put(lambda: [to_topic(sample) for sample in samples])


def _completion(called: Called) -> Outgoing:
    forward = called.forward
    completion = completion_of(forward.forward_id, forward.route, called.answer, round(called.latency_ms))
    return Outgoing("completions", forward.forward_id.encode(), encoded(completion))


def _is_direct(route: str, forward_id: str) -> bool:
    try:
        return isinstance(decode_route(route, forward_id), DirectRoute)
    except Refusal:
        return False
