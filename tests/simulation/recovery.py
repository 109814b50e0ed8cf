"""Recovery time: from a fault until everyone who waited is answered and the worker is able to work again.

The clock starts at the kill, or when a paused worker wakes. What a pause itself lasts is the plan's and not counted.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.cluster import Cluster, Place
from tests.simulation.faults import Fault

PROBE_S = 0.02
GIVE_UP_S = 120.0
SLOWEST = 3


@dataclass
class Struck:
    """One fault that was carried out; times in seconds of `time.monotonic`."""

    fault: Fault
    place: Place
    waiting: set[int]
    from_s: float | None = None
    answered_s: float | None = None
    ready_s: float | None = None

    @property
    def recovery_ms(self) -> float | None:
        """None while it is not over."""
        if self.from_s is None or self.answered_s is None or self.ready_s is None:
            return None
        return max(0.0, max(self.answered_s, self.ready_s) - self.from_s) * 1_000


@dataclass
class Recovery:
    """Carries out faults and measures them. `answered` and `in_flight` say what the client knows."""

    cluster: Cluster
    in_flight: Callable[[], Iterable[int]]
    struck: list[Struck] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    skipped: int = 0

    def answered(self, number: int) -> None:
        """A request has its first response."""
        now_s = time.monotonic()
        with self._lock:
            for each in self.struck:
                if each.answered_s is None and number in each.waiting:
                    each.waiting.discard(number)
                    if not each.waiting:
                        each.answered_s = now_s

    def strike(self, fault: Fault) -> None:
        """Begin a fault; it goes on in a thread of its own."""
        places = [place for place in self.cluster.running() if place.name == fault.processor]
        place = places[int(fault.choice * len(places))]
        thread = threading.Thread(target=self._carry_out, args=(fault, place), name=f"fault-{fault.number}")
        self._threads.append(thread)
        thread.start()

    def finish(self) -> None:
        """Wait until every fault is over."""
        for thread in self._threads:
            thread.join()

    def _carry_out(self, fault: Fault, place: Place) -> None:
        if fault.kind == "pause":
            process = self.cluster.pause(place)
            while process is None:
                # Between two processes of the place: there is none to pause yet.
                time.sleep(PROBE_S)
                process = self.cluster.pause(place)
            struck = self._note(fault, place)
            time.sleep(fault.pause_ms / 1_000)
            self.cluster.wake(place, process)
        else:
            self.cluster.kill(place)
            struck = self._note(fault, place)
        struck.from_s = time.monotonic()
        # A place that is given up meanwhile needs no worker: who is left must answer.
        while place.wanted and not self.cluster.is_ready(place) and time.monotonic() - struck.from_s < GIVE_UP_S:
            time.sleep(PROBE_S)
        struck.ready_s = time.monotonic()

    def _note(self, fault: Fault, place: Place) -> Struck:
        with self._lock:
            # Who waits is looked up under the lock: who is answered after that is told to this fault too.
            struck = Struck(fault, place, set(self.in_flight()))
            self.struck.append(struck)
            if not struck.waiting:
                struck.answered_s = time.monotonic()
        return struck


def figures(struck: Sequence[Struck]) -> dict[str, Any]:
    """Percentiles of the time to recover, in milliseconds, over all faults and for each processor."""
    done = [(each.fault.processor, each.recovery_ms) for each in struck if each.recovery_ms is not None]
    every = [ms for _, ms in done]
    by_name: dict[str, list[float]] = {}
    for name, ms in done:
        by_name.setdefault(name, []).append(ms)
    return {
        "recover_ms_p50": percentile(every, 50),
        "recover_ms_p95": percentile(every, 95),
        "recover_ms_max": percentile(every, 100),
        "recover_ms_by_processor": {
            name: {"faults": len(found), "p50": percentile(found, 50), "max": percentile(found, 100)}
            for name, found in sorted(by_name.items())
        },
        "recover_slowest": [_described(each) for each in sorted(struck, key=_slowness)[-SLOWEST:]],
    }


def _slowness(struck: Struck) -> float:
    return struck.recovery_ms or 0.0


def _described(struck: Struck) -> dict[str, Any]:
    """What made a recovery long: those who waited, or the worker itself."""
    fault, start = struck.fault, struck.from_s or 0.0
    return {
        "fault": fault.number,
        "processor": fault.processor,
        "kind": fault.kind,
        "answered_ms": None if struck.answered_s is None else round((struck.answered_s - start) * 1_000),
        "ready_ms": None if struck.ready_s is None else round((struck.ready_s - start) * 1_000),
    }


def percentile(values: Sequence[float], percent: int) -> float | None:
    """A percentile by linear interpolation, None without values."""
    if not values:
        return None
    if len(values) == 1 or percent == 100:
        return round(max(values), 1)
    return round(statistics.quantiles(values, n=100, method="inclusive")[percent - 1], 1)
