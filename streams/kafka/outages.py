"""Outages: what a worker waits for while brokers, coordinators or controllers do not answer.

A worker waits an outage out: it asks again with growing pauses, tells it in one line when it begins and in one when it
is over, and is not ready in between. `PatientCluster` does so for questions to the cluster; consumers and producers do
by themselves, with the `Outages` of their worker.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_exponential, wait_random

from refrain.streams.errors import Unanswered
from refrain.streams.kafka.interface import Cluster, Reader, Record, Span, Tail, Wanted
from refrain.streams.kafka.wrapped import WrappedCluster

logger = logging.getLogger(__name__)

T = TypeVar("T")

PAUSE_S_MIN = 0.1
PAUSE_S_MAX = 2.0
"""The longest pause between two tries: what is back is found in this time."""
BEAT_S = 0.1
"""How often `stopping` is asked while a pause lasts."""
SETTLE_S = 3.0
"""How long nothing may fail until an outage counts as over: while leaders move, one answer says little."""
STOP_WAIT_S = 5.0
"""How long records are waited for when the worker is asked to stop."""


def _never() -> bool:
    return False


def _ignore(lasting: bool) -> None:
    return


class Outages:
    """The outages of one worker, told by whichever of its threads meets them.

    `stopping` says whether the worker is asked to stop, and is asked all the time, so that it can count as a sign of
    life. `changed` hears whether an outage lasts. `patience_s` is how long is waited: for ever by a worker.
    """

    def __init__(
        self,
        stopping: Callable[[], bool] = _never,
        *,
        patience_s: float = math.inf,
        changed: Callable[[bool], None] = _ignore,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.stopping = stopping
        self.patience_s = patience_s
        self.clock = clock
        self._changed = changed
        self._sleep = sleep
        self._lock = threading.Lock()
        self._missing: dict[str, int] = {}
        self._began_s: float | None = None
        self._quiet_s = 0.0

    @property
    def lasting(self) -> bool:
        """Whether an outage lasts."""
        return self._began_s is not None

    def begin(self, what: str, why: object) -> None:
        """Something (`what`) gets no answer, because of `why`. The first begins an outage; each needs its `end`."""
        with self._lock:
            self._missing[what] = self._missing.get(what, 0) + 1
            begins = self._began_s is None
            if begins:
                self._began_s = self.clock()
        if begins:
            logger.warning("the cluster does not answer, it is asked again until it does: %s: %s", what, why)
            self._changed(True)

    def end(self, what: str) -> None:
        """It got its answer, or is not waited for any more."""
        with self._lock:
            left = self._missing.get(what, 0) - 1
            if left > 0:
                self._missing[what] = left
            else:
                self._missing.pop(what, None)
            self._quiet_s = self.clock()

    def settle(self) -> None:
        """Let an outage be over when all got their answers and nothing failed since for `SETTLE_S`. Costs nothing."""
        if self._began_s is None:
            return
        with self._lock:
            began_s, now_s = self._began_s, self.clock()
            if began_s is None or self._missing or now_s - self._quiet_s < SETTLE_S:
                return
            self._began_s = None
            lasted_s = self._quiet_s - began_s
        logger.warning("the cluster answers again, after %.1f s", lasted_s)
        self._changed(False)

    def pause(self, seconds: float, *, whole: bool = False) -> None:
        """Wait, at most until the worker is asked to stop, unless the pause is to be a `whole` one."""
        until = self.clock() + seconds
        while (not self.stopping() or whole) and (left := until - self.clock()) > 0:
            self._sleep(min(BEAT_S, left))

    def ask_again(self, what: str, ask: Callable[[], T]) -> T:
        """What `ask` gives, asked again while it raises Unanswered.

        Raises the last Unanswered when patience is over or the worker is asked to stop.
        """
        with self.waiting(what) as wait:
            tries = Retrying(
                retry=retry_if_exception_type(Unanswered),
                wait=wait_exponential(multiplier=PAUSE_S_MIN, max=PAUSE_S_MAX) + wait_random(0, PAUSE_S_MIN),
                stop=lambda state: wait.is_over(),
                before_sleep=lambda state: wait.failed(_problem(state)),
                sleep=self.pause,
                reraise=True,
            )
            return tries(ask)

    def waiting(self, what: str) -> Waiting:
        """One wait, as a context: it is an outage from the first `failed` to the end of the block."""
        return Waiting(self, what)


class Waiting:
    """One wait of one thread, for something that has a name (`what`)."""

    def __init__(self, outages: Outages, what: str) -> None:
        self._outages = outages
        self._what = what
        self._since_s = outages.clock()
        self._stop_s: float | None = None
        self._told = False

    def __enter__(self) -> Waiting:
        return self

    def __exit__(self, *_: object) -> None:
        self.answered()

    @property
    def lasted_s(self) -> float:
        """How long it has lasted (seconds)."""
        return self._outages.clock() - self._since_s

    def failed(self, why: object) -> None:
        """There was no answer: an outage, if it is the first time."""
        if not self._told:
            self._told = True
            self._outages.begin(self._what, why)

    def answered(self) -> None:
        """There was an answer: a later failure begins another outage."""
        self._since_s = self._outages.clock()
        if self._told:
            self._told = False
            self._outages.end(self._what)

    def is_over(self, stop_wait_s: float = 0.0) -> bool:
        """Whether to give up: patience is over, or the worker was asked to stop `stop_wait_s` ago."""
        outages = self._outages
        if outages.stopping():
            self._stop_s = outages.clock() if self._stop_s is None else self._stop_s
            return outages.clock() - self._stop_s >= stop_wait_s
        return self.lasted_s >= outages.patience_s


def pauses() -> Iterator[float]:
    """Pauses between tries (seconds), each twice the one before, up to `PAUSE_S_MAX`."""
    pause = PAUSE_S_MIN
    while True:
        yield pause
        pause = min(PAUSE_S_MAX, 2 * pause)


def _problem(state: RetryCallState) -> object:
    return None if state.outcome is None else state.outcome.exception()


class PatientCluster(WrappedCluster):
    """A cluster whose questions are asked again until they are answered, or the worker is asked to stop.

    `targets` is asked once: who sends goes on with what he knows.
    """

    def __init__(self, inner: Cluster, outages: Outages) -> None:
        super().__init__(inner)
        self._outages = outages

    def scan(
        self, topic: str, partition: int, start: int = 0, *, stop: Callable[[], bool] = _never
    ) -> Iterator[Record]:
        """As every cluster's. After an outage it goes on behind the last record, to the end as of then."""

        def seen(record: Record) -> None:
            nonlocal start
            start = record.offset + 1

        what = f"reading {topic}[{partition}]"
        return self._patiently(what, lambda: self.inner.scan(topic, partition, start, stop=stop), seen, stop)

    def sift(self, topic: str, spans: Mapping[int, Span], wanted: Wanted | None = None) -> Iterator[Record]:
        """As every cluster's. After an outage each partition goes on behind its last record that was wanted."""
        left = dict(spans)

        def seen(record: Record) -> None:
            left[record.partition] = Span(record.offset + 1, left[record.partition].end)

        return self._patiently(f"reading {topic}", lambda: self.inner.sift(topic, left, wanted), seen)

    def _patiently(
        self,
        what: str,
        read: Callable[[], Iterator[Record]],
        seen: Callable[[Record], None],
        stop: Callable[[], bool] = _never,
    ) -> Iterator[Record]:
        """Records of `read`, which begins behind those that were `seen` and is begun again after an outage."""
        pause = pauses()
        with self._outages.waiting(what) as wait:
            while True:
                try:
                    for record in read():
                        wait.answered()
                        seen(record)
                        yield record
                    return
                except Unanswered as problem:
                    wait.failed(problem)
                    if wait.is_over():
                        raise
                    if stop():
                        return
                self._outages.pause(next(pause))

    def reader(self, topic: str) -> Reader:
        return PatientReader(self.inner.reader(topic), topic, self._outages)

    def tail(self, places: Mapping[str, Collection[int] | None], name: str) -> Tail:
        return self._outages.ask_again(f"the ends of {', '.join(places)}", lambda: self.inner.tail(places, name))

    def offsets_at(self, topic: str, time_ms: int) -> dict[int, int]:
        return self._outages.ask_again(f"the offsets of {topic}", lambda: self.inner.offsets_at(topic, time_ms))

    def ends(self, topic: str) -> dict[int, tuple[int, int]]:
        return self._outages.ask_again(f"the offsets of {topic}", lambda: self.inner.ends(topic))

    def end(self, topic: str, partition: int) -> int:
        return self._outages.ask_again(f"the end of {topic}", lambda: self.inner.end(topic, partition))

    def tombstones_ms(self, topic: str) -> int:
        return self._outages.ask_again(f"the settings of {topic}", lambda: self.inner.tombstones_ms(topic))

    def partitions(self, topic: str) -> int:
        return self._outages.ask_again(f"the partitions of {topic}", lambda: self.inner.partitions(topic))

    def topic_id(self, topic: str) -> str:
        return self._outages.ask_again(f"the id of {topic}", lambda: self.inner.topic_id(topic))


class PatientReader:
    """A reader that reads again until it is answered, or the worker is asked to stop."""

    def __init__(self, inner: Reader, topic: str, outages: Outages) -> None:
        self._inner = inner
        self._topic = topic
        self._outages = outages

    def read(self, partition: int, start: int, max_records: int) -> list[Record]:
        return self._outages.ask_again(
            f"reading {self._topic}[{partition}]", lambda: self._inner.read(partition, start, max_records)
        )

    def close(self) -> None:
        self._inner.close()


def asked_once(cluster: Cluster) -> Cluster:
    """The cluster whose questions are asked once: for whoever has something better to do than to wait."""
    return cluster.inner if isinstance(cluster, PatientCluster) else cluster
